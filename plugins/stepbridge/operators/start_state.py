"""What a start knows beyond its own try: the names of its executions, and what earlier tries saved.

The keys and their values are in the task state stores of runs that began under earlier versions: they must not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stepbridge.core.names import execution_name
from stepbridge.core.start_decision import Identity

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CurrentExecution", "ExecutionNames", "ReusedExecution"]

CURRENT_KEY: Final = "stepbridge_standing"
REUSED_KEY: Final = "stepbridge_taken_up"


class CurrentExecution:
    """The execution of the task instance, kept over tries and clears."""

    def __init__(self, context: Context) -> None:
        self._store = context["task_state_store"]
        value = self._store.get(CURRENT_KEY)
        self.arn: str | None = value if isinstance(value, str) else None

    def save(self, arn: str) -> None:
        """To be called before the execution is started, redriven or adopted."""
        if arn != self.arn:
            self._store.set(CURRENT_KEY, arn)
            self.arn = arn


class ReusedExecution:
    """The execution of an earlier clear that this clear redrives or adopts, kept from try to try (XComs are not).

    There is one for each input: a user may change the input, and change it back, between two tries.
    """

    def __init__(self, context: Context, clear_number: int, input_digest: str) -> None:
        self._store = context["task_state_store"]
        self._clear_number = clear_number
        self._key = f"{REUSED_KEY}_{input_digest}"

    def identity(self) -> Identity | None:
        """The execution, if a try of this clear with this input has saved one."""
        value = self._store.get(self._key) if self._clear_number else None
        if not isinstance(value, str):
            return None
        by_clear, clear_number, attempt = map(int, value.split())
        return Identity(clear_number, attempt) if by_clear == self._clear_number else None

    def save(self, at: Identity) -> None:
        """To be called before the execution is redriven or adopted; does nothing for one of this clear."""
        if at.clear_number < self._clear_number:
            self._store.set(self._key, f"{self._clear_number} {at.clear_number} {at.attempt}")


class ExecutionNames:
    """The execution names that belong to one task instance and input."""

    def __init__(self, model: str, context: Context, input_digest: str) -> None:
        self._model = model
        self._run_id = context["run_id"]
        map_index = context["ti"].map_index
        self._map_index = -1 if map_index is None else map_index
        self._input_digest = input_digest
        self.clear_number = context["dag_run"].clear_number or 0

    def name(self, identity: Identity) -> str:
        return execution_name(
            self._model, self._run_id, self._map_index, identity.clear_number, identity.attempt, self._input_digest
        )
