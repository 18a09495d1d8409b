"""Which files of a build context count, by Docker's rules (https://docs.docker.com/build/concepts/context/).

Patterns are anchored at the context's root. One that matches a folder matches everything below it. The last one that
matches decides; ``!`` includes a path again, also below an ignored folder.
"""

import posixpath
from collections.abc import Sequence
from pathlib import PurePosixPath

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

from stepbridge.errors import DocumentError, Problem


class DockerignoreError(DocumentError):
    """An ignore file has patterns that Docker does not read."""


class DockerIgnore:
    """The patterns of one ignore file; without any, nothing is ignored."""

    def __init__(self, patterns: Sequence[GitIgnoreBasicPattern] = ()) -> None:
        self._patterns = tuple(patterns)

    @property
    def takes_back(self) -> bool:
        """Whether an ignored folder may hold files that count."""
        return not all(pattern.include for pattern in self._patterns)

    def ignores(self, path: str) -> bool:
        """Whether the file or folder at ``path``, posix and relative to the context, is ignored."""
        candidates = [path, *(parent.as_posix() for parent in PurePosixPath(path).parents if parent.name)]
        ignored = False
        for pattern in self._patterns:
            if bool(pattern.include) != ignored and any(pattern.match_file(candidate) for candidate in candidates):
                ignored = bool(pattern.include)
        return ignored


def parse_dockerignore(text: str, source: str) -> DockerIgnore:
    """The patterns in ``text``; ``source`` names it in errors. Raises DockerignoreError with all that cannot be read.

    The steps are those of https://pkg.go.dev/github.com/moby/patternmatcher/ignorefile: drop comments (a ``#`` in the
    first column only) and surrounding white space, split off ``!``, clean the path.
    """
    patterns, problems = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        pattern = line.strip()
        if line.startswith("#") or not pattern:
            continue
        negated, pattern = pattern.startswith("!"), pattern.removeprefix("!").strip()
        path = posixpath.normpath(pattern).lstrip("/") if pattern else ""
        if path == ".":
            continue
        try:
            if not path:
                raise GitIgnorePatternError(line)
            patterns.append(GitIgnoreBasicPattern(f"{'!' if negated else ''}/{path}"))
        except GitIgnorePatternError:
            problems.append(Problem(f"{source}:{number}", f"the pattern {line!r}", "a pattern that Docker reads"))
    if problems:
        raise DockerignoreError(source, problems)
    return DockerIgnore(patterns)
