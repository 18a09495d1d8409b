"""One package for each AWS service. ``moto`` has what the touches of moto share, ``installation`` connects all of them.

EventBridge, SNS and STS have no package: they are moto's own. ``stepfunctions.moto.events`` sends the events of
executions, and ``iam.moto.authorization`` finds out whose session of STS a request comes from.
"""
