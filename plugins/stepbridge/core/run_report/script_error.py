"""The traceback that a script ended with, picked out of its log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["traceback_of"]

_BEGIN: Final = "Traceback (most recent call last):"


def traceback_of(lines: Sequence[str]) -> list[str]:
    """The last traceback in ``lines``, with its error's line; empty when there is none.

    Of a chain of exceptions it is the last one, which is what ended the script.
    """
    begin = next((at for at in range(len(lines) - 1, -1, -1) if lines[at].strip() == _BEGIN), None)
    if begin is None:
        return []
    margin = len(lines[begin]) - len(lines[begin].lstrip())
    found = [lines[begin]]
    for line in lines[begin + 1 :]:
        found.append(line)
        if line.strip() and len(line) - len(line.lstrip()) <= margin:
            break  # the error itself stands below its frames, at the margin
    return [line[margin:] for line in found] if len(found) > 1 else []
