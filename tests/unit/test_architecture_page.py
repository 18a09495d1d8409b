"""docs/architecture.md is true to the code: the packages, and the watcher's transitions."""

from __future__ import annotations

import re
from pathlib import Path

from stepbridge.triggers.watcher import TRANSITIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def test_every_package_is_on_the_page_and_no_other() -> None:
    """A row of the table may name several."""
    table = PAGE.partition("## The packages of stepbridge")[2].partition("\n## ")[0]
    named = {name for row in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    packages = {path.parent.name for path in (ROOT / "plugins/stepbridge").glob("*/__init__.py")}
    assert named == packages


def test_the_diagram_has_the_watchers_transitions() -> None:
    """An arrow for each pair of states that some event leads from and to."""
    arrows = re.findall(r"^    (\w+) --> (\w+): ", PAGE, re.MULTILINE)
    assert set(arrows) == {
        (state.value.replace(" ", "_"), following.value.replace(" ", "_"))
        for (state, _), (following, _) in TRANSITIONS.items()
    }
    assert len(arrows) == len(set(arrows))
