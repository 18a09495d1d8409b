"""CodeBuild of the local AWS: runs buildspecs in a sandboxed shell, with its own ``docker`` and ``aws``.

Knows neither moto nor a container engine; see ``protocols``. https://docs.aws.amazon.com/codebuild/latest/userguide/
"""
