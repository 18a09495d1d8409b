"""The docker runtime: images are Docker images, jobs are real containers with ``/opt/ml`` mounted."""

from stepbridge_local.runtimes.docker.runtime import DockerRuntime, find_engine

__all__ = ["DockerRuntime", "find_engine"]
