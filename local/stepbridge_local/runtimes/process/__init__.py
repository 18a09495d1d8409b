"""Builds and runs images without a container engine: see docs/process-runtime.md."""

from stepbridge_local.runtimes.process.runtime import ProcessRuntime

__all__ = ["ProcessRuntime"]
