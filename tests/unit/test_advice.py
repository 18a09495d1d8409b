"""Advice in the texts of errors names the task to clear; the docs name the same tasks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TASKS = {"build_image", "upload_scripts", "start_execution", "wait_for_execution", "wait_for_input"}
WITHOUT_A_TASK = re.compile(r"run the task again|\bclear (?:this|the|that|it|your)\b|\bclear(?: the)? (?:failed )?task")


def texts(file: Path) -> Iterator[str]:
    """The texts in a module's code, without its docstrings; gaps of f-strings are ``{}``."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_each_text_names_a_task() -> None:
    """Not "the failed task": what has to be cleared is seldom the red one."""
    found = {
        f"{file.relative_to(ROOT)}: {text}"
        for file in (ROOT / "plugins/stepbridge").rglob("*.py")
        for text in texts(file)
        if WITHOUT_A_TASK.search(text)
    }
    assert not found
    named = {
        word
        for file in (ROOT / "plugins/stepbridge").rglob("*.py")
        for text in texts(file)
        for word in re.findall(r"(?:then|and|, or|;|:) clear (\w+)", text)
    }
    assert named <= TASKS


def test_the_docs_name_the_same_tasks() -> None:
    """Every task that the page about clears offers exists, and each that has to be cleared sometimes is offered."""
    page = (ROOT / "docs/starts.md").read_text(encoding="utf-8")
    table = page.partition("## What to clear")[2].partition("\n\n## ")[0]
    offered = set(re.findall(r"`(\w+_\w+)`", table))
    assert offered == TASKS - {"wait_for_input"}
    assert not [
        file.name for file in (ROOT / "docs").glob("*.md") if "clear the failed task" in file.read_text("utf-8")
    ]
