"""Why an image build failed and what to do about it. Pure."""

import itertools
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from stepbridge.errors import BrokenImageError, ImageBuildError

LAST_LINES: Final = 50

SCRIPT_BEGINS: Final = ': "${IMAGE_TAG:?'
BUILD_BEGINS: Final = "stepbridge: docker build begins"
"""How the buildspec's script begins, which CodeBuild logs first, and what it prints in front of docker's output."""

_CLEAR: Final = "clear build_image and the tasks after it"
_COMMAND_FAILED: Final = re.compile(r"\[Container\] \S+ \S+ Command did not exit successfully")
_EXIT_CODE: Final = re.compile(r"exit (?:status|code):? (\d+)")
_ERROR_LINE: Final = re.compile(
    r"^(?:#\d+ [\d.]+ )?(?:ERROR|error|Error|\s+cause)\b:?|^\S*Dockerfile:\d+: |\b[A-Z]\w*(?:Error|Exception): "
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
                r"not found in the package (?:registry|index)", re.IGNORECASE), False,
     "a requirement does not exist for the image's Python: check requirements.txt and the FROM line"),
    (re.compile(r"(?:cause:|╰─▶) Because|No solution found when|conflicting dependencies"), False,
     "some requirements exclude each other: loosen or remove a version in requirements.txt"),
    (re.compile(r"COPY failed|failed to compute cache key|not (?:found )?in (?:the )?(?:build )?context|"
                r"^.*\bCOPY\b.*(?:no file|no such file|nothing).*$", re.IGNORECASE | re.MULTILINE), False,
     "a COPY names a file that is not in the build context: check the path and .dockerignore"),
)  # fmt: skip


def hint_for(exit_code: int | None, log_lines: Sequence[str]) -> tuple[str, bool]:
    """What to do about the failure, empty if it is no known one, and whether the same build may succeed later."""
    text = "\n".join([*log_lines, f"exit code {exit_code}"])  # docker's own exit code hides the one of the step in it
    return next(((advice, again) for pattern, again, advice in _HINTS if pattern.search(text)), ("", False))


def cause_in(log_lines: Sequence[str]) -> str:
    """The line that says why, with those that are indented below it, as far as one does; else the last one."""
    last_first = range(len(log_lines) - 1, -1, -1)
    known = (at for pattern, _, _ in _HINTS for at in last_first if pattern.search(log_lines[at]))
    errors = (at for at in last_first if _ERROR_LINE.search(log_lines[at]))
    last = (at for at in last_first if log_lines[at].strip())
    at = next((at for found in (known, errors, last) for at in found), 0)
    more = itertools.takewhile(lambda line: line.startswith(" " * 6), log_lines[at + 1 :])
    return " ".join(line.strip() for line in [*log_lines[at : at + 1], *more])


class CommandOutput:
    """The last lines of a build's log from ``BUILD_BEGINS``, if it comes, up to the command that failed.

    After it CodeBuild repeats the whole failed command, a script of the buildspec, and logs the phases that follow.
    ``on_line`` gets all other lines as they come.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        self._on_line = on_line
        self._failed = self._is_script = False

    def add(self, line: str) -> None:
        self._failed = self._failed or bool(_COMMAND_FAILED.match(line))
        self._is_script = (self._is_script or line.startswith(SCRIPT_BEGINS)) and line.strip() != BUILD_BEGINS
        if line.strip() == BUILD_BEGINS:
            self.lines.clear()
        elif not self._failed:
            self.lines.append(line)
            if not self._is_script:
                self._on_line(line)


def build_failure(build_id: str, status: str, phase: str, message: str, log_lines: Sequence[str]) -> ImageBuildError:
    """The error for a build that ended with ``status`` in ``phase``; ``message`` is what CodeBuild says about it."""
    named = _EXIT_CODE.search(message)  # ``… Reason: exit status 137``
    exit_code = int(named[1]) if named else None
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
    error.log_lines = tuple(log_lines)[-LAST_LINES:]
    return error
