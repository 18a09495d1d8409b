"""Answers the ``docker`` commands of builds with only a ``ContainerRuntime`` and an ``ImageRegistry``.

``runtimes.docker.build_commands`` uses the docker program instead.
"""
