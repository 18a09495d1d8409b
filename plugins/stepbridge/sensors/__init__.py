"""stepbridge's sensors and their errors, for DAGs that are written by hand: see docs/hand-written-dags.md."""

from stepbridge.core.run_report.failure_text import ExecutionFailedError
from stepbridge.sensors.errors import EmptyOutputError, InputCheckError, WaitTimeoutError
from stepbridge.sensors.execution import ExecutionSensor
from stepbridge.sensors.input import InputSensor

__all__ = [
    "EmptyOutputError",
    "ExecutionFailedError",
    "ExecutionSensor",
    "InputCheckError",
    "InputSensor",
    "WaitTimeoutError",
]
