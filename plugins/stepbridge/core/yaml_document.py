"""A YAML document with the line and column of each key and value. A key that comes twice is a problem.

Its size is bounded before anything is built of it: an alias counts as much as what it stands for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

import yaml

from stepbridge.core.problems import Path
from stepbridge.errors import Problem

# libyaml's loader is ten times faster: 500 cards in 0.07 s instead of 0.68 s.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

LONGEST_DOCUMENT: Final = 100_000  # characters
LONGEST_TEXT: Final = 3_000  # characters of one key or value
DEEPEST: Final = 20
MOST_PARTS: Final = 1_000
LONGEST_EXCERPT: Final = 300
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # what PostgreSQL or UTF-8 cannot hold, and the like

Marks = dict[Path, yaml.Mark]
"""Where the parts of a document begin; lines and columns are counted from 0."""


class _Loader(_Base):  # type: ignore[misc]
    """The safe loader. A scalar that has no value, such as the date 2013-02-30, is a YAML error with its place."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError) as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


@dataclass(frozen=True)
class YamlDocument:
    """A document's value, the problems of its form, and where its parts are. ``value`` is None if it cannot be read."""

    source: str
    lines: tuple[str, ...]
    value: Any
    keys: Marks
    values: Marks
    problems: tuple[Problem, ...]

    def locate_key(self, path: Path) -> tuple[str, str]:
        """The place of the key at ``path``, as ``source:line:column``, and its line with a caret.

        For a key that is not in the document it is the place of the nearest part around it.
        """
        return self._nearest(path, self.keys)

    def locate_value(self, path: Path) -> tuple[str, str]:
        """The place of the value at ``path``, like ``locate_key``."""
        return self._nearest(path, self.values)

    def _nearest(self, path: Path, marks: Marks) -> tuple[str, str]:
        plain = tuple(step for step in path if step != "[key]")
        for length in range(len(plain), 0, -1):
            if plain[:length] in marks:
                return _place(self.source, self.lines, marks[plain[:length]])
        return self.source, ""


def _place(source: str, lines: tuple[str, ...], mark: yaml.Mark) -> tuple[str, str]:
    line = lines[mark.line] if mark.line < len(lines) else ""
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", line)[:LONGEST_EXCERPT]
    excerpt = f"{text}\n{' ' * mark.column}^" if mark.column <= len(text) > 0 else ""
    return f"{source}:{mark.line + 1}:{mark.column + 1}", excerpt


def read_yaml(text: str, source: str) -> YamlDocument:
    """The document in ``text``. What is wrong with its form is in ``problems``; nothing is raised."""
    lines = tuple(text.splitlines())
    try:
        _require_small(text)
        root, value = _compose(text)
    except yaml.YAMLError as error:
        return YamlDocument(source, lines, None, {}, {}, (_unreadable(source, lines, error),))
    keys: Marks = {}
    values: Marks = {}
    problems = []
    for mark, found in _walk(root, (), keys, values, set()):
        where, excerpt = _place(source, lines, mark)
        problems.append(Problem(where, found, "each key once", "", excerpt))
    return YamlDocument(source, lines, value, keys, values, tuple(problems))


def _require_small(text: str) -> None:
    """Raises YAMLError for a document that is too large, too deep or holds a text that cannot be kept."""
    if len(text) > LONGEST_DOCUMENT:
        raise yaml.YAMLError(f"it has {len(text)} characters; at most {LONGEST_DOCUMENT} are read")
    anchored: dict[str | None, int] = {}  # how many parts each stands for
    sizes = [0]  # of the collections that are open
    anchors: list[str | None] = []
    for event in yaml.parse(text, Loader=_Base):
        match event:
            case yaml.AliasEvent():
                sizes[-1] += anchored.get(event.anchor, 0)
            case yaml.ScalarEvent():
                sizes[-1] += 1
                anchored[event.anchor] = 1
            case yaml.CollectionStartEvent():
                sizes.append(1)
                anchors.append(event.anchor)
            case yaml.CollectionEndEvent():
                anchored[anchors.pop()] = size = sizes.pop()
                sizes[-1] += size
        value = getattr(event, "value", "")
        wrong = {
            f"a text of more than {LONGEST_TEXT} characters": len(value) > LONGEST_TEXT,
            "a control character": _CONTROL.search(value),
            f"more than {DEEPEST} levels of lists and mappings": len(sizes) > DEEPEST,
            f"more than {MOST_PARTS} keys and values, those behind aliases included": sum(sizes) > MOST_PARTS,
        }
        for found in filter(wrong.get, wrong):
            raise yaml.MarkedYAMLError(None, None, found, cast(yaml.Mark, event.start_mark))


def _compose(text: str) -> tuple[Any, Any]:
    """The document's nodes and its value; an empty document is an empty mapping."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return root, {} if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _unreadable(source: str, lines: tuple[str, ...], error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    found = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    where, excerpt = _place(source, lines, mark) if mark else (source, "")
    return Problem(where, f"{found} {context}" if context else found, "a YAML document", "", excerpt)


def _walk(node: Any, path: Path, keys: Marks, values: Marks, seen: set[int]) -> Iterator[tuple[yaml.Mark, str]]:
    """Record where everything is; yield the place of each key that comes twice, and what is wrong."""
    if node is None:
        return
    values[path] = node.start_mark
    if id(node) in seen:  # an alias: its parts are where its anchor is
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            step = str(key.value)
            if (*path, step) in keys:
                yield key.start_mark, f"the key {step!r} comes twice"
            keys[(*path, step)] = key.start_mark
            yield from _walk(value, (*path, step), keys, values, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*path, index), keys, values, seen)
