"""What a start knows beyond its own try: the names of its executions, and what earlier tries saved.

The keys and their values are in the task state stores of runs that began under earlier versions: they must not change.
"""

from __future__ import annotations

from typing import Final

from airflow.sdk import Context

from stepbridge.core.names import execution_name
from stepbridge.core.start_decision import Identity

__all__ = ["StartState"]

CURRENT_KEY: Final = "stepbridge_standing"
REUSED_KEY: Final = "stepbridge_taken_up"


class StartState:
    """Of one task instance and execution input. What is saved is kept over tries and clears (XComs are not)."""

    def __init__(self, context: Context, model: str, input_digest: str) -> None:
        self.clear_number = context["dag_run"].clear_number or 0
        map_index = context["ti"].map_index
        self._instance = (model, context["run_id"], -1 if map_index is None else map_index)
        self._input_digest = input_digest
        self._store = context["task_state_store"]
        # One for each input: a user may change the input, and change it back, between two tries.
        self._reused_key = f"{REUSED_KEY}_{input_digest}"

    def name(self, at: Identity) -> str:
        """The name of the execution ``at``."""
        return execution_name(*self._instance, at.clear_number, at.attempt, self._input_digest)

    def current_arn(self) -> str | None:
        """The execution of the task instance, whatever its input."""
        value = self._store.get(CURRENT_KEY)
        return value if isinstance(value, str) else None

    def save_current(self, arn: str) -> None:
        """To be called before the execution is started, redriven or adopted."""
        self._store.set(CURRENT_KEY, arn)

    def reused(self) -> Identity | None:
        """The execution of an earlier clear that a try of this clear has begun to redrive or adopt."""
        value = self._store.get(self._reused_key) if self.clear_number else None
        if not isinstance(value, str):
            return None
        by_clear, clear_number, attempt = map(int, value.split())
        return Identity(clear_number, attempt) if by_clear == self.clear_number else None

    def save_reused(self, at: Identity) -> None:
        """To be called before the execution is redriven or adopted; does nothing for one of this clear."""
        if at.clear_number < self.clear_number:
            self._store.set(self._reused_key, f"{self.clear_number} {at.clear_number} {at.attempt}")
