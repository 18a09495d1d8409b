"""The state machine that an execution uses, even if it changes afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

__all__ = ["StateMachineSnapshot"]


@dataclass(frozen=True)
class StateMachineSnapshot:
    """The state machine as it was when the execution started; a redrive uses it too."""

    arn: str
    name: str
    type: str
    definition: str
    role_arn: str
    updated: datetime
    configurations: dict[str, Any]  # loggingConfiguration, tracingConfiguration, encryptionConfiguration
    version_arn: str | None = None
    alias_arn: str | None = None

    def to_record(self) -> dict[str, Any]:
        """As a JSON document."""
        return asdict(self) | {"updated": self.updated.isoformat()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> StateMachineSnapshot:
        """The inverse of ``to_record``."""
        return cls(**{**record, "updated": datetime.fromisoformat(record["updated"])})
