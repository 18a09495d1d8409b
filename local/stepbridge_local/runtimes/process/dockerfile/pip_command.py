"""``RUN pip install ...`` as the arguments of ``uv pip install``: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stepbridge_local.runtimes.process.dockerfile.parser import expand

__all__ = ["CommandRefusedError", "PipInstall", "pip_installs", "shell_commands"]

_PIP: Final = re.compile(r"(?:/\S*/)?pip(?:3(?:\.\d+)?)?$")
_PYTHON: Final = re.compile(r"(?:/\S*/)?python(?:3(?:\.\d+)?)?$")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OPERATORS: Final = frozenset("|;<>()`&\n")

# pip's option -> uv's name for it; "" if it has no effect here. Options of the first table have no value.
_SWITCHES: Final[Mapping[str, str]] = {
    "--no-deps": "--no-deps",
    "--upgrade": "--upgrade",
    "-U": "--upgrade",
    "--pre": "--prerelease=allow",
    "--no-index": "--no-index",
    "--require-hashes": "--require-hashes",
    "--no-build-isolation": "--no-build-isolation",
    "--force-reinstall": "--reinstall",
    "--ignore-installed": "--reinstall",
    "-I": "--reinstall",
    "--quiet": "",
    "-q": "",
    "-qq": "",
    "-qqq": "",
    "--verbose": "",
    "-v": "",
    "--no-cache-dir": "",  # the cache is never part of the image
    "--no-compile": "",
    "--compile": "",
    "--disable-pip-version-check": "",
    "--no-warn-script-location": "",
    "--no-warn-conflicts": "",
    "--no-input": "",
    "--no-color": "",
    "--prefer-binary": "",
    "--use-pep517": "",
    "--break-system-packages": "",
    "--user": "",  # there is one environment
}
_WITH_VALUE: Final[Mapping[str, str]] = {
    "--requirement": "--requirements",
    "-r": "--requirements",
    "--constraint": "--constraints",
    "-c": "--constraints",
    "--editable": "--editable",
    "-e": "--editable",
    "--index-url": "--default-index",
    "-i": "--default-index",
    "--extra-index-url": "--index",
    "--find-links": "--find-links",
    "-f": "--find-links",
    "--trusted-host": "--allow-insecure-host",
    "--only-binary": "--only-binary",
    "--no-binary": "--no-binary",
    "--cache-dir": "",
    "--default-timeout": "",
    "--timeout": "",
    "--retries": "",
    "--progress-bar": "",
    "--root-user-action": "",
    "--upgrade-strategy": "",
}


class CommandRefusedError(ValueError):
    """The process runtime does not support a RUN command. The text says what was found in it."""


@dataclass(frozen=True)
class PipInstall:
    """One ``pip install``: the arguments behind ``uv pip install``, and variables set in front of it."""

    arguments: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()


def pip_installs(commands: Sequence[Sequence[str]]) -> tuple[PipInstall, ...]:
    """The installs in the words of ``commands``. Raises CommandRefusedError if one is anything else."""
    return tuple(_pip_install(list(words)) for words in commands)


def _pip_install(words: list[str]) -> PipInstall:
    variables: list[tuple[str, str]] = []
    while words and _ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        variables.append((name, value))
    command = " ".join(words) or "nothing"
    if words and _PYTHON.match(words[0]) and words[1:2] == ["-m"] and words[2:3] == ["pip"]:
        words = words[2:]
    elif not words or not _PIP.match(words[0]):
        raise CommandRefusedError(f"the command `{command}`")
    words = words[1:]
    leading: list[str] = []
    while words and words[0].startswith("-"):  # options in front of `install`
        leading.append(words.pop(0))
    if words[:1] != ["install"]:
        raise CommandRefusedError(f"the command `{command}`")
    arguments = _uv_arguments([*leading, *words[1:]])
    if not any(not argument.startswith("-") for argument in arguments):
        raise CommandRefusedError(f"`{command}`, which names nothing to install")
    return PipInstall(tuple(arguments), tuple(variables))


def _uv_arguments(words: list[str]) -> list[str]:
    arguments: list[str] = []
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        short = word[:2]
        if not word.startswith("-"):
            arguments.append(word)
        elif word in _SWITCHES:
            arguments += [_SWITCHES[word]] if _SWITCHES[word] else []
        elif name in _WITH_VALUE and (equals or words):
            value = value if equals else words.pop(0)
            arguments += [_WITH_VALUE[name], value] if _WITH_VALUE[name] else []
        elif not word.startswith("--") and short in _WITH_VALUE and len(word) > 2:  # -rrequirements.txt
            arguments += [_WITH_VALUE[short], word[2:]]
        else:
            raise CommandRefusedError(f"pip's option `{word}`")
    return arguments


def shell_commands(text: str, variables: Mapping[str, str]) -> list[list[str]]:
    """The commands of a shell line that is joined by ``&&``, as words, variables replaced as a shell does.

    Raises CommandRefusedError for any other operator of the shell.
    """
    commands: list[list[str]] = [[]]
    for raw in _raw_words(text):
        if raw == "&&":
            commands.append([])
            continue
        try:
            value = expand(raw, variables, "\\")
        except ValueError as error:
            raise CommandRefusedError(str(error)) from error
        splits = raw[:1] not in "\"'" and "$" in raw  # an unquoted variable may hold several words
        commands[-1] += value.split() if splits else [value]
    return commands


def _raw_words(text: str) -> list[str]:
    """The words and ``&&`` of a shell line, quotes still in them."""
    words: list[str] = []
    word = quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "\\" and quote != "'":
            word += text[position - 1 : position + 1]
            position += 1
        elif quote or character in "\"'":
            if text.startswith(("$(", "`"), position - 1) and quote == '"':
                raise CommandRefusedError("a command substitution")
            quote = "" if character == quote else quote or character
            word += character
        elif text.startswith("&&", position - 1):
            words += [word, "&&"] if word else ["&&"]
            word, position = "", position + 1
        elif character.isspace():
            words += [word] if word else []
            word = ""
        elif text.startswith("$(", position - 1) or character in _OPERATORS:
            hint = ' (quote a version constraint: "name>=1")' if character in "<>" else ""
            raise CommandRefusedError(f"the shell's `{character}`{hint}")
        elif character == "#" and not word:
            break
        else:
            word += character
    return words + ([word] if word else [])
