"""One package for each AWS service. ``moto`` has what their moto modules share, ``installation`` connects them to moto.

EventBridge, SNS and STS have no package: they are moto's, unchanged. ``stepfunctions.moto.events`` sends the events of
executions, and ``iam.moto.authorization`` finds out whose session of STS a request comes from.
"""
