"""The page about corrections of moto names what is there: in the pinned release, and here."""

from __future__ import annotations

import importlib
import inspect
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import stepbridge_local.services.cloudformation.moto  # noqa: F401  (moto.cloudformation cannot be imported before it)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "moto.md").read_text()
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
NAMES = sorted({name for row in ROWS for name in re.findall(r"`([a-z_.0-9]+:\w+(?:\.\w+)?)`", row[0])})
PATHS = sorted({path for row in ROWS for path in re.findall(r"`([\w/]+\.py)`", row[-1])})


def test_every_row_says_what_and_where() -> None:
    """A row without a name in moto, or without our correction, could be offered to nobody."""
    assert len(ROWS) > 40
    for row in ROWS:
        assert re.search(r"`[a-z_.0-9]+:\w+", row[0]), row
        assert re.search(r"`[\w/]+\.py`", row[-1]), row


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_in_the_pinned_moto(name: str) -> None:
    """As long as it is there, so may be what the row says of it."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(
        module if module.startswith("moto.") else f"moto.stepfunctions.parser.{module}"
    )
    for part in path.split("."):
        found = inspect.getattr_static(found, part)


@pytest.mark.parametrize("path", PATHS)
def test_a_correction_is_where_the_page_says(path: str) -> None:
    """Paths are below the package or the tests."""
    assert ((ROOT if path.startswith("tests/") else ROOT / "stepbridge_local") / path).is_file()


def test_the_page_is_about_the_pinned_release() -> None:
    """Whoever raises the pin reads the page again."""
    assert set(re.findall(r"moto (\d+\.\d+\.\d+)", PAGE)) == {version("moto")}
