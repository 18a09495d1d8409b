"""IAM of the local AWS: evaluates policies as AWS does. Independent of moto and HTTP.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""
