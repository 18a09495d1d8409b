"""What matters in the lines of a job's log: the script's error, its warnings, its last lines. Pure."""

import re
from collections.abc import Sequence
from typing import Final

LAST_LINES: Final = 50
MESSAGE_LINES: Final = 20
LINE_LENGTH: Final = 1000
KEY_WARNINGS, KEY_LAST = 10, 3
STREAM_MARK: Final = "--- algo-"

_TRACEBACK: Final = re.compile(r"(?:\+ Exception Group )?Traceback \(most recent call last\):\s*$")
_SYNTAX_ERROR: Final = re.compile(r'^\s*File ".+", line \d+$')  # which has no heading
_WARNING: Final = re.compile(r"^\[local AWS\] |\w*Warning: |\b(?:WARN|WARNING|ERROR|CRITICAL|FATAL)\b")


def shown(lines: Sequence[str]) -> list[str]:
    """The lines as a terminal shows them: of a progress bar its last state, and a traceback begins a line."""
    found: list[str] = []
    for line in lines:
        state = next((part for part in reversed(line.split("\r")) if part.strip()), "")
        heading = _TRACEBACK.search(state)
        if heading and (before := state[: heading.start()].rstrip()):
            found.append(before[:LINE_LENGTH])
            state = heading[0]
        found.append(state[:LINE_LENGTH])
    return found


def traceback_of(lines: Sequence[str]) -> list[str]:
    """The last traceback in ``lines``, with its error's message; empty when there is none.

    Of a chain of exceptions it is the last one, which is what ended the script. A message may have many lines, and
    nothing tells them from what was printed later: at most ``MESSAGE_LINES`` are taken.
    """
    places = range(len(lines))
    begins = (at for form in (_TRACEBACK, _SYNTAX_ERROR) for at in reversed(places) if form.search(lines[at]))
    begin = next(begins, None)
    if begin is None:
        return []
    margin = _indent(lines[begin]) if _TRACEBACK.search(lines[begin]) else 0
    end = next((at for at in places[begin + 1 :] if lines[at].startswith(STREAM_MARK)), len(lines))
    error = next((at for at in places[begin + 1 : end] if lines[at].strip() and _indent(lines[at]) <= margin), end)
    found = "\n".join(line[margin:].rstrip() for line in lines[begin : min(end, error + MESSAGE_LINES)]).rstrip()
    return found.splitlines() if "\n" in found else []


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
