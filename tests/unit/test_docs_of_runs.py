"""What a newcomer reads is true: whose dates a model gets, that it is paused and how it starts, whose role it has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from airflow.configuration import conf

from stepbridge.core.model_card import parse_card
from stepbridge.dag_factory import build_dag

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "plugins/stepbridge/project/template"
CARDS = sorted((ROOT / "dags/models").glob("*.yaml"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(TEMPLATE.rglob("*.md")), *CARDS]
DATED = [ROOT / "README.md", ROOT / "docs/model-card.md", ROOT / "docs/hand-written-dags.md", *CARDS]
DATED += [TEMPLATE / "dags/models/README.md"]
NEWCOMERS = [ROOT / "README.md", ROOT / "docs/model-card.md", TEMPLATE / "dags/models/README.md"]


def templates(page: Path) -> list[str]:
    """Every template on it; in an f-string the braces are doubled."""
    text = page.read_text(encoding="utf-8").replace("{{{{", "{{").replace("}}}}", "}}")
    return re.findall(r"\{\{(?!\").*?\}\}", text)  # but for the nodes of a diagram


def named(paths: list[Path]) -> Any:
    return pytest.mark.parametrize("page", paths, ids=lambda path: str(path.relative_to(ROOT)))


@named(PAGES)
def test_examples_never_use_the_date_of_utc(page: Path) -> None:
    """Whoever copies a template into a card with a time zone gets no warning of it."""
    for template in templates(page):
        text = f"input_uri: >-\n  s3://bucket/{template}/\noutput_uri: s3://bucket/out/\ntimezone: Asia/Tokyo\n"
        assert parse_card(text, "tokyo.yaml").date_warning == "", template


@named(DATED)
def test_examples_of_cards_use_the_date_of_their_zone(page: Path) -> None:
    """By its own name."""
    assert [template for template in templates(page) if "local_ds" in template]


@named(NEWCOMERS)
def test_a_new_model_is_paused_and_the_page_says_how_it_starts(page: Path) -> None:
    """Paused by Airflow's own default; unpaused it follows its schedule, and Trigger runs it at once."""
    assert conf.get_default_value("core", "dags_are_paused_at_creation").lower() == "true"
    card = parse_card("input_uri: s3://bucket/in/\noutput_uri: s3://bucket/out/\n", "dags/models/new.yaml")
    assert build_dag(card, ROOT).is_paused_upon_creation is None  # which leaves it to that
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert "**paused**" in text
    assert re.search(r"[Uu]npause it.* first run", text)
    assert re.search(r"[Pp]ress Trigger", text)


def test_all_models_share_a_role_and_the_page_says_so() -> None:
    """One role per model is for later; whoever needs it now reads what to do instead."""
    stack = (ROOT / "infra/stack.yaml").read_text(encoding="utf-8")
    assert stack.count("Service: sagemaker.amazonaws.com") == 1
    assert 'RoleName: !Sub "${AWS::StackName}-${AWS::Region}-processing"' in stack
    page = " ".join((ROOT / "docs/deploy.md").read_text(encoding="utf-8").split())
    assert "The jobs of all models run with the same role, `<stack>-<region>-processing`." in page
    assert "the code of each model can access the data of all models" in page
    assert "A role per model is planned for a later version." in page
    assert "deploy a separate stack for each model whose data must be kept apart" in page
