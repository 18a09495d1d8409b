"""Builds and runs images without a container engine: see docs/process-runtime.md."""

from stepbridge.local.process_runtime.runtime import ProcessRuntime

__all__ = ["ProcessRuntime"]
