"""The documentation is written in short, plain sentences, in the words of AWS, Airflow and Docker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.test_links import FENCE, PAGES, ROOT

MOST_WORDS = 40
PRIVATE_WORDS = re.compile(
    r"\b(?:whoever|anew|mends?|mended|sighting|doorbell|dear|(?:is|are|was) (?:told|said) (?:as|at|before|by|where))\b",
    re.IGNORECASE,
)
NOT_PROSE = re.compile(
    r"<!-- generated.*?<!-- end -->|<details>.*?</details>|<!-- python -m stepbridge_local.services.operations -->.*",
    re.DOTALL,
)
TEMPLATES = sorted((ROOT / "plugins/stepbridge/project/template").rglob("*.md"))


def prose(text: str) -> Iterator[str]:
    """The clauses of a page: up to a full stop, colon or semicolon, in a paragraph, a list item or a table's cell."""
    text = NOT_PROSE.sub("", FENCE.sub("", text))
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) |[|#])", text):
        for cell in block.strip().strip("|").split(" | ") if block.lstrip().startswith("|") else [block]:
            plain = re.sub(r"`[^`]*`", "x", re.sub(r"\]\([^)]*\)", "]", cell))
            yield from re.split(r"(?<=[.!?:;])\s+", " ".join(plain.split()))


@pytest.mark.parametrize("page", [*PAGES, *TEMPLATES], ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_are_short(page: Path) -> None:
    """Nobody has to read one twice."""
    text = page.read_text(encoding="utf-8")
    assert [clause for clause in prose(text) if len(clause.split()) > MOST_WORDS] == []


@pytest.mark.parametrize("page", [*PAGES, *TEMPLATES], ids=lambda page: str(page.relative_to(ROOT)))
def test_no_private_words(page: Path) -> None:
    """Nothing is "told" or "said" by nobody, and nothing is "mended" or done "anew"."""
    assert PRIVATE_WORDS.findall(" ".join(prose(page.read_text(encoding="utf-8")))) == []


def test_long_sentences_and_private_words_are_found() -> None:
    """In paragraphs, list items and cells; code and generated tables are left alone."""
    long = "word " * (MOST_WORDS + 1)
    for text in (long, f"- {long}", f"| a | b |\n|---|---|\n| c | {long}|"):
        assert max(len(clause.split()) for clause in prose(text)) > MOST_WORDS
    for text in (f"```\n{long}\n```\n", f"<!-- generated: x -->\n{long}\n<!-- end -->", "word. " * 100, f"`{long}`"):
        assert max(len(clause.split()) for clause in prose(text)) <= MOST_WORDS
    assert PRIVATE_WORDS.findall("Whoever mends it is told at once") == ["Whoever", "mends", "is told at"]
