"""Counts the requests that botocore sends in this process, whoever made the client: boto3 and aiobotocore alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from botocore import handlers

__all__ = ["Calls"]


@dataclass
class Calls:
    """Requests by operation from ``install`` on. Each attempt counts, also those that are throttled and sent again."""

    sent: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)

    def install(self) -> Calls:
        """Count the requests of every session that is made from now on."""
        handlers.BUILTIN_HANDLERS.append(("before-send.*", self._before_send))
        handlers.BUILTIN_HANDLERS.append(("response-received.*", self._response_received))
        return self

    def clear(self) -> None:
        """Begin at nothing."""
        self.sent.clear()
        self.throttled.clear()

    def _before_send(self, event_name: str, **_arguments: Any) -> None:
        self.sent[event_name.rpartition(".")[2]] += 1

    def _response_received(self, event_name: str, parsed_response: dict[str, Any] | None, **_arguments: Any) -> None:
        code = (parsed_response or {}).get("Error", {}).get("Code", "")
        if code == "ThrottlingException":
            self.throttled[event_name.rpartition(".")[2]] += 1
