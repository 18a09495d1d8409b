"""CodeBuild of the local AWS: runs buildspecs in a shell of this machine, with ``docker`` and ``aws`` of our own.

Knows neither moto nor a container engine; see ``protocols``. https://docs.aws.amazon.com/codebuild/latest/userguide/
"""
