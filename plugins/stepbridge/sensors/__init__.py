"""stepbridge's sensors and their errors, for DAGs that are written by hand: see docs/hand-written-dags.md."""

from stepbridge.sensors.errors import EmptyOutputError, ExecutionFailedError, InputCheckError, WaitTimeoutError
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
