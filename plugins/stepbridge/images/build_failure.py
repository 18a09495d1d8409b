"""Why an image build failed and what to do about it. Pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Final

from stepbridge.errors import ImageBuildError

__all__ = ["LAST_LINES", "CommandOutput", "build_failure", "exit_code_of", "hint_for"]

LAST_LINES: Final = 50

_COMMAND_FAILED: Final = re.compile(r"\[Container\] \S+ \S+ Command did not exit successfully")
_EXIT_CODE: Final = re.compile(r"exit (?:status|code):? (\d+)")

# What to do about a known line of a build's log. The first that matches counts.
_HINTS: Final = (
    (re.compile(r"exit (?:status|code):? 137|^Killed$", re.IGNORECASE | re.MULTILINE),
     "the build was killed, most likely out of memory: take a larger compute type for the CodeBuild project"),
    (re.compile(r"toomanyrequests|pull rate limit", re.IGNORECASE),
     "Docker Hub limits anonymous pulls: take the base image from public.ecr.aws, for example "
     "public.ecr.aws/docker/library/python"),
    (re.compile(r"no space left on device", re.IGNORECASE),
     "the build ran out of disk: take a larger compute type for the CodeBuild project"),
    (re.compile(r"ImageTagAlreadyExistsException|tag .* is immutable|repository is immutable", re.IGNORECASE),
     "another build pushed the same content first: run the task again, it will find the image"),
    (re.compile(r"No matching distribution found|Could not find a version that satisfies", re.IGNORECASE),
     "a requirement does not exist for the image's Python: check requirements.txt and the FROM line"),
    (re.compile(r"COPY failed|failed to compute cache key|not found in build context", re.IGNORECASE),
     "a COPY names a file that is not in the build context: check the path and .dockerignore"),
)  # fmt: skip


def exit_code_of(message: str) -> int | None:
    """The exit code that CodeBuild names in a phase's message (``… Reason: exit status 137``)."""
    named = _EXIT_CODE.search(message)
    return int(named[1]) if named else None


def hint_for(exit_code: int | None, log_lines: Sequence[str]) -> str:
    """What to do about the failure, as far as it is a known one; else empty."""
    text = "\n".join([*log_lines, f"exit code {exit_code}"])  # docker's own exit code hides the one of the step in it
    return next((advice for pattern, advice in _HINTS if pattern.search(text)), "")


class CommandOutput:
    """The last lines of a build's log up to the command that failed.

    After it CodeBuild repeats the whole failed command, a script of the buildspec, and logs the phases that follow.
    Those are more than fifty lines, which would push out the command's own output.
    """

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._failed = False

    def add(self, line: str) -> None:
        self._failed = self._failed or bool(_COMMAND_FAILED.match(line))
        if not self._failed:
            self._lines.append(line)

    @property
    def lines(self) -> list[str]:
        return list(self._lines)


def build_failure(build_id: str, status: str, phase: str, message: str, log_lines: Sequence[str]) -> ImageBuildError:
    """The error for a build that ended with ``status`` in ``phase``; ``message`` is what CodeBuild says about it."""
    exit_code = exit_code_of(message)
    code = "" if exit_code is None else f" with exit code {exit_code}"
    reason = message.rpartition("Reason: ")[2]  # before it comes the whole script of the buildspec
    found = f"{status} in phase {phase}{code}" + (f" ({reason})" if reason else "")
    remedy = hint_for(exit_code, log_lines) or "fix what the log below names, then run the task again"
    error = ImageBuildError(f"image build {build_id}", found, "a build that succeeds", remedy)
    error.status, error.phase, error.exit_code = status, phase, exit_code
    error.log_lines = tuple(log_lines[-LAST_LINES:])
    return error
