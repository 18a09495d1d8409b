"""What a start knows beyond its own try: the names that belong to it, and what earlier tries wrote down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stepbridge.core.names import execution_name
from stepbridge.core.start_decision import Identity

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["Names", "Standing", "TakenUp"]

TAKEN_UP_KEY: Final = "stepbridge_taken_up"
STANDING_KEY: Final = "stepbridge_standing"


class Standing:
    """Which execution stands for the task instance, kept over tries and clears."""

    def __init__(self, context: Context) -> None:
        self._store = context["task_state_store"]
        kept = self._store.get(STANDING_KEY)
        self.arn: str | None = kept if isinstance(kept, str) else None

    def remember(self, arn: str) -> None:
        """Write it down, before anything is done about it."""
        if arn != self.arn:
            self._store.set(STANDING_KEY, arn)
            self.arn = arn


class TakenUp:
    """Which execution of an earlier clear this clear goes on with, kept from try to try (XComs are not).

    One for each input: a user may change it and change it back between two tries.
    """

    def __init__(self, context: Context, clear_number: int, input_digest: str) -> None:
        self._store = context["task_state_store"]
        self._clear_number = clear_number
        self._key = f"{TAKEN_UP_KEY}_{input_digest}"

    def identity(self) -> Identity | None:
        """The execution, if a try of this clear with this input has written one down."""
        kept = self._store.get(self._key) if self._clear_number else None
        if not isinstance(kept, str):
            return None
        by_clear, clear_number, attempt = map(int, kept.split())
        return Identity(clear_number, attempt) if by_clear == self._clear_number else None

    def remember(self, at: Identity) -> None:
        """Write it down, before anything is done about it; what belongs to this clear needs no note."""
        if at.clear_number < self._clear_number:
            self._store.set(self._key, f"{self._clear_number} {at.clear_number} {at.attempt}")


class Names:
    """The execution names that belong to one task instance and input."""

    def __init__(self, model: str, context: Context, input_digest: str) -> None:
        self._model = model
        self._run_id = context["run_id"]
        map_index = context["ti"].map_index
        self._map_index = -1 if map_index is None else map_index
        self._input_digest = input_digest
        self.clear_number = context["dag_run"].clear_number or 0

    def of(self, identity: Identity) -> str:
        return execution_name(
            self._model, self._run_id, self._map_index, identity.clear_number, identity.attempt, self._input_digest
        )
