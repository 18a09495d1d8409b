"""docs/model-card.md says what the card is."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic_core import PydanticUndefined

from stepbridge.core.model_card import KNOWN_KEYS, LONGEST_DEADLINE_SECONDS, ModelCard
from stepbridge.operators.form_templates import ALLOWED

PAGE = (Path(__file__).parents[3] / "docs/model-card.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE))


def test_the_table_has_every_key_in_its_order() -> None:
    """No key is missing, none is left over."""
    assert tuple(ROWS) == KNOWN_KEYS


def test_the_table_has_the_defaults() -> None:
    """Wherever the default is a plain value."""
    for key, field in ModelCard.model_fields.items():
        default = field.default
        if key != "name" and default is PydanticUndefined and field.default_factory is None:
            assert ROWS[key] == "needed"
        elif isinstance(default, bool):
            assert ROWS[key] == f"`{str(default).lower()}`"
        elif default is not PydanticUndefined and default not in (
            None,
            "",
            (),
            ModelCard.model_fields["stages"].default,
        ):
            assert ROWS[key].strip("`") == str(default)


def test_the_limits_that_the_page_quotes() -> None:
    """The longest deadline, and what a form may use."""
    assert f"60 to {LONGEST_DEADLINE_SECONDS}" in PAGE
    assert all(f"`{name}`" in PAGE for name in ALLOWED)
