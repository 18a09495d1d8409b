"""Parses a Dockerfile into instructions. Pure. It does not decide which of them are supported.

Follows https://docs.docker.com/reference/dockerfile/: parser directives, comments, line continuations, flags, exec and
shell forms, quoting and variables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Dockerfile", "Instruction", "exec_form", "expand", "parse_dockerfile", "split_words", "unquoted"]

_DIRECTIVE: Final = re.compile(r"^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.*?)\s*$")
_FLAG: Final = re.compile(r"--([A-Za-z][A-Za-z0-9-]*)(?:=(\S*))?(?:\s+|$)")
_HEREDOC: Final = re.compile(r"<<(-?)\s*([\"']?)([A-Za-z_][A-Za-z0-9_.]*)\2")
_VARIABLE: Final = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+?])([^}]*))?\})")
_WITH_FLAGS: Final = frozenset({"ADD", "COPY", "FROM", "HEALTHCHECK", "RUN"})
_WITH_HEREDOCS: Final = frozenset({"ADD", "COPY", "RUN"})


@dataclass(frozen=True)
class Instruction:
    """One instruction. ``line`` is that of its first word, from 1; ``value`` is what follows the flags, joined."""

    name: str  # in capitals
    line: int
    value: str
    flags: tuple[tuple[str, str], ...] = ()
    heredocs: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The instruction on one line."""
        flags = [f"--{name}={value}" if value else f"--{name}" for name, value in self.flags]
        return " ".join(part for part in (self.name, *flags, self.value) if part)


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile. ``escape`` is the character of line continuations and of quoting."""

    source: str
    instructions: tuple[Instruction, ...]
    escape: str = "\\"


def parse_dockerfile(text: str, source: str) -> Dockerfile:
    """The instructions of ``text`` in order. Never fails: the planner refuses unknown instructions."""
    lines = text.removeprefix("\ufeff").splitlines()
    escape = _directives(lines).get("escape", "\\")
    instructions: list[Instruction] = []
    position = 0
    while position < len(lines):
        if not lines[position].strip() or lines[position].lstrip().startswith("#"):
            position += 1
            continue
        first = position
        joined, position = _logical_line(lines, position, escape)
        instruction = _instruction(joined, first + 1)
        if instruction.heredocs:
            position = _after_heredocs(lines, position, joined)
        instructions.append(instruction)
    return Dockerfile(source, tuple(instructions), escape)


def _directives(lines: list[str]) -> dict[str, str]:
    """The parser directives: comments of the form ``# name=value`` before anything else."""
    found: dict[str, str] = {}
    for line in lines:
        match = _DIRECTIVE.match(line)
        if match is None or match[1].lower() in found:
            break
        found[match[1].lower()] = match[2]
    return found


def _logical_line(lines: list[str], position: int, escape: str) -> tuple[str, int]:
    """The line at ``position`` with its continuations, and the position behind them. Comments within are left out."""
    parts: list[str] = []
    while position < len(lines):
        line = lines[position]
        position += 1
        if parts and (not line.strip() or line.lstrip().startswith("#")):
            continue
        bare = line.rstrip()
        if not bare.endswith(escape):
            parts.append(line)
            break
        parts.append(bare[: -len(escape)])
    return "".join(parts).strip(), position


def _instruction(joined: str, line: int) -> Instruction:
    name, rest = (*joined.split(maxsplit=1), "")[:2]
    name = name.upper()
    flags: list[tuple[str, str]] = []
    while name in _WITH_FLAGS and (match := _FLAG.match(rest)):
        flags.append((match[1], match[2] or ""))
        rest = rest[match.end() :]
    heredocs = tuple(match[3] for match in _HEREDOC.finditer(rest)) if name in _WITH_HEREDOCS else ()
    return Instruction(name, line, rest, tuple(flags), heredocs)


def _after_heredocs(lines: list[str], position: int, joined: str) -> int:
    """The position behind the bodies of the here-documents that ``joined`` opens."""
    for match in _HEREDOC.finditer(joined):
        while position < len(lines):
            line = lines[position].lstrip("\t") if match[1] else lines[position]
            position += 1
            if line == match[3]:
                break
    return position


def exec_form(value: str) -> tuple[str, ...] | None:
    """The items of a JSON array of strings; None when ``value`` is no such array, and so in shell form."""
    if not value.startswith("["):
        return None
    try:
        items = json.loads(value)
    except ValueError:
        return None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return None
    return tuple(items)


def split_words(value: str, escape: str) -> list[str]:
    """The words of ``value``, split at white space outside of quotes; quotes and escapes are still in them."""
    words: list[str] = []
    word = quote = ""
    characters = iter(value)
    for character in characters:
        if character == escape and quote != "'":
            word += character + next(characters, "")
            continue
        if character in "\"'":
            quote = "" if quote == character else quote or character
        if character.isspace() and not quote:
            words += [word] if word else []
            word = ""
        else:
            word += character
    return words + ([word] if word else [])


def expand(word: str, variables: Mapping[str, str], escape: str) -> str:
    """``word`` with its variables replaced and its quotes removed, as Docker does it in ENV, COPY and the like.

    Unset variables are empty. Raises ValueError for a form of substitution that is not ``$NAME``, ``${NAME}``,
    ``${NAME:-default}``, ``${NAME:+other}`` (or these without the colon), or for a quote that does not end.
    """
    return _expanded(word, variables, escape, unquote=True)


def unquoted(word: str, escape: str) -> str:
    """``word`` with its quotes and escapes removed, and variables left as they are written."""
    return _expanded(word, None, escape, unquote=True)


def _expanded(word: str, variables: Mapping[str, str] | None, escape: str, unquote: bool) -> str:
    result = quote = ""
    position = 0
    while position < len(word):
        character = word[position]
        if character == escape and quote != "'" and position + 1 < len(word):
            following = word[position + 1]
            keeps = quote == '"' and following not in f'"${escape}'
            result += escape + following if keeps else following
            position += 2
        elif unquote and character in "\"'" and quote in ("", character):
            quote = "" if quote else character
            position += 1
        elif character == "$" and quote != "'" and variables is not None:
            value, position = _substituted(word, position, variables, escape)
            result += value
        else:
            result += character
            position += 1
    if quote:
        raise ValueError(f"the quote {quote} does not end")
    return result


def _substituted(word: str, position: int, variables: Mapping[str, str], escape: str) -> tuple[str, int]:
    """The value of the variable that starts at ``position``, and the position behind it."""
    match = _VARIABLE.match(word, position)
    if match is None:
        if word.startswith("${", position):
            raise ValueError(f"the substitution {word[position:]!r} is not supported")
        return "$", position + 1
    name, operator, alternative = match[1] or match[2], match[3] or "", match[4] or ""
    value = variables.get(name)
    present = value is not None and not (operator.startswith(":") and value == "")
    if operator.endswith("?") and not present:
        raise ValueError(f"the variable {name} is not set: {alternative}")
    if operator.endswith("-") and not present:
        value = _expanded(alternative, variables, escape, unquote=False)
    if operator.endswith("+"):
        value = _expanded(alternative, variables, escape, unquote=False) if present else ""
    return value or "", match.end()
