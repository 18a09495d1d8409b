"""What a Dockerfile needs that the builder does not have, and the way that works instead."""

from __future__ import annotations

import pytest

from stepbridge_local.runtimes.docker.buildkit import GET_BUILDKIT, LATEST, unmet_needs

HEREDOC = "FROM a\nRUN <<END\necho 1\nEND\n"
CACHE = "FROM a\nRUN --mount=type=cache,target=/root/.cache pip install b\n"
CHMOD = "FROM a\nCOPY --chmod=755 b c\n"
LINK = "FROM a\nCOPY --link b c\n"
READER = "# syntax=docker/dockerfile:1\n"
PLAIN = 'FROM a\nRUN echo "1 << 2"\nCOPY --chown=b --from=c d e\nHEALTHCHECK --interval=1s CMD true\n'


@pytest.mark.parametrize("text", [HEREDOC, CACHE, CHMOD, LINK, PLAIN])
def test_buildkit_of_now_does_everything(text: str) -> None:
    assert unmet_needs(text, "Dockerfile", None, 23) == []


@pytest.mark.parametrize(("get_buildkit", "version"), [(None, 20), (GET_BUILDKIT, 20), (GET_BUILDKIT, LATEST)])
def test_what_every_builder_does(get_buildkit: str | None, version: int) -> None:
    assert unmet_needs(PLAIN, "Dockerfile", get_buildkit, version) == []


@pytest.mark.parametrize(
    ("text", "found", "instead"),
    [
        (HEREDOC, "a here-document", "put it into a file"),
        (CACHE, "the option --mount", "leave a cache's mount out"),
        (CHMOD, "the option --chmod", "write RUN chmod"),
        (LINK, "the option --link", "do without it"),
    ],
)
def test_without_buildkit_each_need_is_named_with_a_way(text: str, found: str, instead: str) -> None:
    [problem] = unmet_needs(text, "model/Dockerfile", GET_BUILDKIT)
    assert problem.where.startswith("model/Dockerfile:2: ")
    assert problem.found == found
    assert problem.remedy.startswith(instead)
    assert problem.remedy.endswith(GET_BUILDKIT)


@pytest.mark.parametrize(("text", "refused"), [(HEREDOC, True), (LINK, True), (CACHE, False), (CHMOD, False)])
def test_an_early_buildkit_needs_another_reader_for_some(text: str, refused: bool) -> None:
    problems = unmet_needs(text, "Dockerfile", None, 20)
    assert bool(problems) is refused
    assert all("# syntax=docker/dockerfile:1" in problem.remedy for problem in problems)
    assert unmet_needs(READER + text, "Dockerfile", None, 20) == []
    assert unmet_needs("# a comment ends the directives\n" + READER + text, "Dockerfile", None, 20) != [] or not refused


def test_a_way_is_whole() -> None:
    """BuildKit alone would not do on an early engine."""
    [problem] = unmet_needs(HEREDOC, "Dockerfile", GET_BUILDKIT, 20)
    assert GET_BUILDKIT in problem.remedy
    assert "# syntax" in problem.remedy
