"""The docs of the card and of failures say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.unit.core.generated_docs import DOCS, PAGES, PARTS, card_keys, failures, renewed

from stepbridge.core.failures import EXECUTION_FAILURES, Retry
from stepbridge.core.model_card import KNOWN_KEYS
from stepbridge.operators.form_templates import ALLOWED

CARD_PAGE = (DOCS / "model-card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_the_generated_parts_are_those_of_the_code(name: str) -> None:
    """``python -m tests.unit.core.generated_docs`` writes them anew."""
    page = Path(DOCS / name).read_text(encoding="utf-8")
    assert page == renewed(page)
    assert re.search(rf"<!-- generated: ({'|'.join(PARTS)}) -->\n\|", page)


def test_the_table_has_every_key_in_its_order_with_default_and_limits() -> None:
    """As a person would write them."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", card_keys(), re.MULTILINE)
    assert tuple(key for key, _, _ in rows) == KNOWN_KEYS
    defaults = {key: default for key, default, _ in rows}
    assert defaults["input_uri"] == defaults["output_uri"] == "required"
    assert (defaults["catchup"], defaults["owner"], defaults["start_date"]) == ("`false`", "`airflow`", "none")
    texts = {key: text for key, _, text in rows}
    assert texts["volume_size"] == "GB of each job's volume, 1 to 16384"
    assert texts["wait_for_input"].endswith("before it starts, 1 to 2678400; see below")
    assert texts["tags"] == "tags of the DAG, at most 50"


def test_the_table_of_failures_has_a_row_for_each() -> None:
    """Nothing that the code knows is missing; rows that differ only in the error's name are one."""
    table = failures()
    assert all(
        f"| {row.kind} | " in table and (row.error == "*" or f"`{row.error}`" in table) for row in EXECUTION_FAILURES
    )


def test_the_numbers_that_the_page_quotes() -> None:
    """When a failure is retried, and what a form may use."""
    assert Retry.AS_SET.value == "after 1, 2, 4 … at most 30 minutes"
    assert all(f"| {retry.value}" in CARD_PAGE for retry in Retry)
    assert all(f"`{name}`" in CARD_PAGE for name in ALLOWED)
