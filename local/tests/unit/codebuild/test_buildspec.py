"""Reading buildspecs."""

from __future__ import annotations

import pickle

import pytest

from stepbridge_local.services.codebuild.buildspec import parse_buildspec
from stepbridge_local.services.codebuild.errors import BuildspecError


def test_a_whole_buildspec() -> None:
    """Phases, variables, shell and exported variables, numbers and booleans as texts."""
    buildspec = parse_buildspec(
        """
version: 0.2
env:
  shell: bash
  variables: {A: text, B: 1, C: true}
  exported-variables: [A]
phases:
  install: {commands: [echo 1]}
  build:
    on-failure: ABORT
    commands:
      - |
        echo two
        echo lines
    finally: [echo done]
""",
        "buildspec.yml",
    )
    assert buildspec.shell == "/bin/bash"
    assert buildspec.variables == {"A": "text", "B": "1", "C": "true"}
    assert buildspec.exported_variables == ("A",)
    assert list(buildspec.phases) == ["install", "build"]
    assert buildspec.phases["build"].commands == ("echo two\necho lines\n",)
    assert buildspec.phases["build"].finally_commands == ("echo done",)
    assert buildspec.phases["build"].aborts is True
    assert buildspec.phases["install"].aborts is None


def test_all_problems_at_once() -> None:
    """One error names everything that is wrong, and survives pickling."""
    with pytest.raises(BuildspecError) as caught:
        parse_buildspec(
            """
version: 0.1
artifacts: {files: ['**/*']}
env: {shell: powershell.exe, secrets-manager: {A: b}}
phases:
  deploy: {commands: [ls]}
  install: {runtime-versions: {python: 3.11}, on-failure: RETRY, commands: [{a: b}]}
""",
            "spec.yml",
        )
    text = str(caught.value)
    for problem in (
        "spec.yml: ",
        "artifacts: not available here",
        "version: found 0.1",
        "phases.deploy: not available",
        "env.secrets-manager: not available",
        "env.shell: found 'powershell.exe'",
        "phases.install.runtime-versions: not available",
        "phases.install.on-failure: found 'RETRY'",
        "phases.install.commands[0]: a dict",
    ):
        assert problem in text
    assert str(pickle.loads(pickle.dumps(caught.value))) == text


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b", "version: 0.2", "a: [", "version: 0.2\nphases: []"])
def test_what_is_no_buildspec(text: str) -> None:
    """Anything else is a BuildspecError, never another exception."""
    with pytest.raises(BuildspecError):
        parse_buildspec(text, "spec.yml")
