"""One root for every error that stepbridge raises, and below it a class per kind of fault.

An error keeps its raw values as attributes and makes its text in ``__str__``, so that it survives pickling (Airflow
and process pools pickle exceptions) and so that a program can read what a person reads. The text has one shape:
``where: what was found; what was expected; what to do next.``
"""

from __future__ import annotations

__all__ = [
    "ConfigurationFault",
    "StepbridgeError",
]


class StepbridgeError(Exception):
    """Base of all errors of stepbridge.

    ``where`` names the file, field, resource or call; ``found`` says what was there, ``expected`` what should have
    been, ``remedy`` what the reader does next. ``expected`` and ``remedy`` may be empty.
    """

    def __init__(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(where, found, expected, remedy)
        self.where = where
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [self.found, self.expected and f"expected {self.expected}", self.remedy]
        return f"{self.where}: " + "; ".join(part for part in parts if part)


class ConfigurationFault(StepbridgeError):
    """What the user wrote or set up cannot be used as it is."""
