"""The docker runtime: images are Docker images, jobs are real containers with ``/opt/ml`` mounted."""

from stepbridge.local.docker_runtime.runtime import DockerRuntime, find_engine

__all__ = ["DockerRuntime", "find_engine"]
