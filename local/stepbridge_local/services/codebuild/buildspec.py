"""Buildspecs, version 0.2: what a build runs.

https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html. What the local AWS cannot do is refused with
all problems at once. What has no meaning for an image build (reports) is refused too, never skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from stepbridge_local.services.codebuild.errors import BuildspecError

__all__ = ["PHASES", "Buildspec", "PhaseCommands", "parse_buildspec"]

PHASES: Final = ("install", "pre_build", "build", "post_build")
SHELLS: Final = {"/bin/sh": "/bin/sh", "sh": "/bin/sh", "bash": "/bin/bash"}
ON_FAILURE: Final = ("ABORT", "CONTINUE")
_TOP: Final = frozenset({"version", "env", "phases"})
_ENV: Final = frozenset({"variables", "exported-variables", "shell"})
_PHASE: Final = frozenset({"commands", "finally", "on-failure"})


@dataclass(frozen=True)
class PhaseCommands:
    """The commands of one phase. ``aborts`` is None where ``on-failure`` is not given."""

    commands: tuple[str, ...] = ()
    finally_commands: tuple[str, ...] = ()
    aborts: bool | None = None


@dataclass(frozen=True)
class Buildspec:
    """A checked buildspec. ``shell`` is the path of the shell."""

    phases: Mapping[str, PhaseCommands]
    variables: Mapping[str, str] = field(default_factory=dict)
    exported_variables: tuple[str, ...] = ()
    shell: str = "/bin/sh"


def parse_buildspec(text: str, source: str) -> Buildspec:
    """The buildspec in ``text``; ``source`` names it in errors. Raises BuildspecError."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BuildspecError(source, f"not YAML: {error}", "a buildspec of version 0.2") from error
    if not isinstance(document, dict):
        raise BuildspecError(source, f"a YAML {type(document).__name__}", "a mapping with version and phases")
    reader = _Reader()
    buildspec = reader.buildspec(document)
    if reader.problems:
        raise BuildspecError(source, "; ".join(reader.problems), "", "the local AWS runs the phases of a buildspec 0.2")
    return buildspec


class _Reader:
    """Reads a document and collects all its problems."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def buildspec(self, document: Mapping[Any, Any]) -> Buildspec:
        self._only(document, _TOP, "")
        if str(document.get("version")) != "0.2":
            self.problems.append(f"version: found {document.get('version')!r}; expected 0.2")
        phases = self._mapping(document.get("phases", {}), "phases")
        if not phases:
            self.problems.append(f"phases: none; expected some of {', '.join(PHASES)}")
        self._only(phases, frozenset(PHASES), "phases.")
        environment = self._mapping(document.get("env", {}), "env")
        self._only(environment, _ENV, "env.")
        shell = str(environment.get("shell", "/bin/sh"))
        if shell not in SHELLS:
            self.problems.append(f"env.shell: found {shell!r}; expected one of {', '.join(SHELLS)}")
        return Buildspec(
            phases={name: self._phase(phases[name], f"phases.{name}") for name in PHASES if name in phases},
            variables=self._variables(environment.get("variables", {})),
            exported_variables=tuple(self._texts(environment.get("exported-variables", []), "env.exported-variables")),
            shell=SHELLS.get(shell, "/bin/sh"),
        )

    def _phase(self, value: Any, where: str) -> PhaseCommands:
        phase = self._mapping(value, where)
        self._only(phase, _PHASE, f"{where}.")
        on_failure = phase.get("on-failure")
        if on_failure is not None and on_failure not in ON_FAILURE:
            self.problems.append(f"{where}.on-failure: found {on_failure!r}; expected one of {', '.join(ON_FAILURE)}")
        return PhaseCommands(
            commands=tuple(self._texts(phase.get("commands", []), f"{where}.commands")),
            finally_commands=tuple(self._texts(phase.get("finally", []), f"{where}.finally")),
            aborts=None if on_failure is None else on_failure == "ABORT",
        )

    def _variables(self, value: Any) -> dict[str, str]:
        variables = self._mapping(value, "env.variables")
        for name, content in variables.items():
            if isinstance(content, dict | list):
                self.problems.append(f"env.variables.{name}: a {type(content).__name__}; expected a text")
        return {str(name): _text(content) for name, content in variables.items()}

    def _texts(self, value: Any, where: str) -> Sequence[str]:
        if not isinstance(value, list):
            self.problems.append(f"{where}: a {type(value).__name__}; expected a list")
            return []
        for index, item in enumerate(value):
            if not isinstance(item, str | int | float):
                self.problems.append(f"{where}[{index}]: a {type(item).__name__}; expected a command (quote it)")
        return [_text(item) for item in value]

    def _mapping(self, value: Any, where: str) -> Mapping[Any, Any]:
        if isinstance(value, dict):
            return value
        self.problems.append(f"{where}: a {type(value).__name__}; expected a mapping")
        return {}

    def _only(self, mapping: Mapping[Any, Any], known: frozenset[str], where: str) -> None:
        for key in mapping:
            if key not in known:
                self.problems.append(f"{where}{key}: not available here; available: {', '.join(sorted(known))}")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
