"""The base class of all errors of the local AWS, and the errors that several of its packages share.

An error keeps its raw values as attributes and makes its text in ``__str__``, so that it survives pickling and so that
a program can read what a person reads. The text has one shape:
``where: what was found; what was expected; what to do next.``
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "ConfigurationError",
    "DataFolderInUseError",
    "DocumentError",
    "ImageBuildError",
    "LocalAwsError",
    "PortInUseError",
    "Problem",
    "UnsupportedCommandError",
]


def _sentence(where: str, found: str, expected: str, remedy: str) -> str:
    parts = [found, expected and f"expected {expected}", remedy]
    return f"{where}: " + "; ".join(part for part in parts if part)


class LocalAwsError(Exception):
    """Base of all errors of the local AWS.

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
        return _sentence(self.where, self.found, self.expected, self.remedy)


class ConfigurationError(LocalAwsError):
    """Something that the user wrote or configured cannot be used."""


class ImageBuildError(LocalAwsError):
    """An image could not be built from its Dockerfile and context."""


class UnsupportedCommandError(LocalAwsError):
    """The local AWS does not support a ``docker`` or ``aws`` command. The build gets exit code 125 or 252."""


@dataclass(frozen=True)
class Problem:
    """One error in a document. ``excerpt`` is its line with a caret below, or empty."""

    where: str
    found: str
    expected: str = ""
    remedy: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        text = _sentence(self.where, self.found, self.expected, self.remedy)
        return "\n".join([text, *(f"    {line}" for line in self.excerpt.splitlines())])


class DocumentError(ConfigurationError):
    """A document has errors. ``problems`` has all of them, in the order of the document."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(source, f"{count} problem{'' if count == 1 else 's'}")
        self.args = (source, self.problems)  # what pickle passes to __init__

    @property
    def source(self) -> str:
        return self.where

    def __str__(self) -> str:
        return "\n".join([f"{self.where}: {self.found}", *(str(problem) for problem in self.problems)])


class PortInUseError(ConfigurationError):
    """Another program is already listening on the port."""


class DataFolderInUseError(ConfigurationError):
    """Another local AWS is using the data folder."""
