"""IAM of the local AWS: what policies allow, as AWS evaluates them. Knows neither moto nor HTTP.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""
