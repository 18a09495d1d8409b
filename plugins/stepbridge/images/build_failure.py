"""Why an image build failed and what to do about it. Pure."""

import re
from collections import deque
from collections.abc import Sequence
from typing import Final

from stepbridge.errors import BrokenImageError, ImageBuildError

LAST_LINES: Final = 50

BUILD_BEGINS: Final = "stepbridge: docker build begins"
"""What the buildspec prints in front of docker's output. What comes before it are the buildspec's own lines."""

_CLEAR: Final = "clear build_image and the tasks after it"
_COMMAND_FAILED: Final = re.compile(r"\[Container\] \S+ \S+ Command did not exit successfully")
_EXIT_CODE: Final = re.compile(r"exit (?:status|code):? (\d+)")
_ERROR_LINE: Final = re.compile(
    r"^(?:#\d+ [\d.]+ )?(?:ERROR|error|Error)\b:?|^\S*Dockerfile:\d+: |\b[A-Z]\w*(?:Error|Exception): "
)
_COMMAND_PHASES: Final = frozenset({"INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD"})

# A known line of a build's log: what to do about it, and whether the same build may succeed later. The first counts.
_HINTS: Final = (
    (re.compile(r"exit (?:status|code):? 137|^Killed$", re.IGNORECASE | re.MULTILINE), True,
     "the build was killed, most likely out of memory: take a larger compute type for the CodeBuild project"),
    (re.compile(r"toomanyrequests|pull rate limit", re.IGNORECASE), True,
     "Docker Hub limits anonymous pulls: take the base image from public.ecr.aws, for example "
     "public.ecr.aws/docker/library/python"),
    (re.compile(r"no space left on device", re.IGNORECASE), True,
     "the build ran out of disk: take a larger compute type for the CodeBuild project"),
    (re.compile(r"ImageTagAlreadyExistsException|tag .* is immutable|repository is immutable", re.IGNORECASE), True,
     "another build pushed the same content first: clear build_image and the tasks after it; it will find the image"),
    (re.compile(r"name resolution|could not resolve|not connect to the endpoint|failed to fetch|error sending request|"
                r"dns error|connection (?:reset|refused|timed out|broken|aborted)|timed out|i/o timeout|Throttling|"
                r"handshake timeout|Rate exceeded|\b50[0234]\b.*(?:error|gateway|unavailable)|unexpected EOF",
                re.IGNORECASE), True,
     "the network, a package index or a registry did not answer: clear build_image and the tasks after it later"),
    (re.compile(r"No matching distribution found|Could not find a version that satisfies|there is no version of|"
                r"No solution found when resolving|not found in the package (?:registry|index)", re.IGNORECASE), False,
     "a requirement does not exist for the image's Python: check requirements.txt and the FROM line"),
    (re.compile(r"COPY failed|failed to compute cache key|not (?:found )?in (?:the )?build context|"
                r"^.*\bCOPY\b.*(?:no file|no such file|nothing).*$", re.IGNORECASE | re.MULTILINE), False,
     "a COPY names a file that is not in the build context: check the path and .dockerignore"),
)  # fmt: skip


def exit_code_of(message: str) -> int | None:
    """The exit code that CodeBuild names in a phase's message (``… Reason: exit status 137``)."""
    named = _EXIT_CODE.search(message)
    return int(named[1]) if named else None


def hint_for(exit_code: int | None, log_lines: Sequence[str]) -> tuple[str, bool]:
    """What to do about the failure, empty if it is no known one, and whether the same build may succeed later."""
    text = "\n".join([*log_lines, f"exit code {exit_code}"])  # docker's own exit code hides the one of the step in it
    return next(((advice, again) for pattern, again, advice in _HINTS if pattern.search(text)), ("", False))


def cause_in(log_lines: Sequence[str]) -> str:
    """The line that says why, as far as one does; else the last one."""
    known = (line for pattern, _, _ in _HINTS for line in reversed(log_lines) if pattern.search(line))
    errors = (line for line in reversed(log_lines) if _ERROR_LINE.search(line))
    last = (line for line in reversed(log_lines) if line.strip())
    return next((line.strip() for lines in (known, errors, last) for line in lines), "")


class CommandOutput:
    """The last lines of a build's log from ``BUILD_BEGINS``, if it comes, up to the command that failed.

    After it CodeBuild repeats the whole failed command, a script of the buildspec, and logs the phases that follow.
    Those are more than fifty lines, which would push out the command's own output.
    """

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._failed = False

    def add(self, line: str) -> None:
        self._failed = self._failed or bool(_COMMAND_FAILED.match(line))
        if line.strip() == BUILD_BEGINS:
            self._lines.clear()
        elif not self._failed:
            self._lines.append(line)

    @property
    def lines(self) -> list[str]:
        return list(self._lines)


def build_failure(build_id: str, status: str, phase: str, message: str, log_lines: Sequence[str]) -> ImageBuildError:
    """The error for a build that ended with ``status`` in ``phase``; ``message`` is what CodeBuild says about it."""
    exit_code = exit_code_of(message)
    code = "" if exit_code is None else f" with exit code {exit_code}"
    ended = f"{status} in phase {phase}{code}"
    cause = cause_in(log_lines) or message.rpartition("Reason: ")[2]  # before it comes the script of the buildspec
    hint, again = hint_for(exit_code, log_lines)
    again = again or status != "FAILED" or phase not in _COMMAND_PHASES
    todo = hint or ("" if again else "correct what it names")
    remedy = todo if _CLEAR in todo else f"{todo}, then {_CLEAR}" if todo else _CLEAR
    found = f"{cause} ({ended})" if cause else ended
    error = (ImageBuildError if again else BrokenImageError)(f"image build {build_id}", found, "", remedy)
    error.status, error.phase, error.exit_code = status, phase, exit_code
    error.log_lines = tuple(log_lines[-LAST_LINES:])
    return error
