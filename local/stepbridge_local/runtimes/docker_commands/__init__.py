"""The ``docker`` commands of builds, answered with nothing but a ``ContainerRuntime`` and an ``ImageRegistry``.

``runtimes.docker.build_commands`` answers them with the docker program instead.
"""
