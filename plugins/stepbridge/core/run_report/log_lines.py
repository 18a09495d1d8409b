"""What matters in the lines of a job's log: the script's error, its warnings, its last lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["key_lines", "last_lines", "shown", "traceback_of"]

LAST_LINES: Final = 50
MESSAGE_LINES: Final = 20
LINE_LENGTH: Final = 1000
KEY_WARNINGS, KEY_LAST = 10, 3
STREAM_MARK: Final = "--- algo-"

_TRACEBACK: Final = re.compile(r"(?:\+ Exception Group )?Traceback \(most recent call last\):\s*$")
_SYNTAX_ERROR: Final = re.compile(r'^\s*File ".+", line \d+$')  # which has no heading
_WARNING: Final = re.compile(r"\w*Warning: |\b(?:WARN|WARNING|ERROR|CRITICAL|FATAL)\b")


def shown(lines: Sequence[str]) -> list[str]:
    """The lines as a terminal shows them: of a progress bar its last state, and a traceback begins a line."""
    return [part[:LINE_LENGTH] for line in lines for part in _parts(line)]


def _parts(line: str) -> Iterator[str]:
    line = next((part for part in reversed(line.split("\r")) if part.strip()), "")
    heading = _TRACEBACK.search(line)
    if heading and (before := line[: heading.start()]).strip():
        yield before.rstrip()
        line = heading[0]
    yield line


def traceback_of(lines: Sequence[str]) -> list[str]:
    """The last traceback in ``lines``, with its error's message; empty when there is none.

    Of a chain of exceptions it is the last one, which is what ended the script. A message may have many lines, and
    nothing tells them from what was printed later: at most ``MESSAGE_LINES`` are taken.
    """
    begin = next((at for form in (_TRACEBACK, _SYNTAX_ERROR) for at in _found(form, lines)), None)
    if begin is None:
        return []
    margin = len(lines[begin]) - len(lines[begin].lstrip())
    end = next((at for at in range(begin + 1, len(lines)) if lines[at].startswith(STREAM_MARK)), len(lines))
    frames = margin if _TRACEBACK.search(lines[begin]) else 0
    error = next((at for at in range(begin + 1, end) if lines[at].strip() and _indent(lines[at]) <= frames), None)
    found = [
        line[frames:].rstrip() for line in lines[begin : end if error is None else min(end, error + MESSAGE_LINES)]
    ]
    while found and not found[-1]:
        found.pop()
    return found if len(found) > 1 else []


def _found(form: re.Pattern[str], lines: Sequence[str]) -> Iterator[int]:
    return (at for at in reversed(range(len(lines))) if form.search(lines[at]))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def last_lines(lines: Sequence[str]) -> list[str]:
    """The last lines of each container; a line ``--- <stream>`` begins another one's."""
    ends = [at for at, line in enumerate(lines) if line.startswith(STREAM_MARK)] + [len(lines)]
    return [
        line
        for at, line in enumerate(lines)
        if line.startswith(STREAM_MARK) or next(end for end in ends if end > at) - at <= LAST_LINES
    ]


def key_lines(lines: Sequence[str]) -> list[str]:
    """What a reader wants of a stage that went well: its last warnings, each once, and its last lines, in order."""
    warnings = {line: at for at, line in enumerate(lines) if _WARNING.search(line)}
    wanted = {*sorted(warnings.values())[-KEY_WARNINGS:], *range(max(0, len(lines) - KEY_LAST), len(lines))}
    return [lines[at] for at in sorted(wanted)]
