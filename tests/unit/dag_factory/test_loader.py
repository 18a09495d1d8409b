"""A folder of cards becomes DAGs; a broken card stays alone with it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.sdk.definitions._internal.contextmanager import DagContext

from stepbridge.dag_factory import BrokenCardsError, check_cards, load_dags
from stepbridge.errors import CardError

WriteCard = Callable[..., Path]

UNKNOWN_KEY = "input_uri: s3://bucket/in/\noutput_url: s3://bucket/out/\n"


def problems_in(project: Path) -> list[str]:
    """The text of each problem of all cards."""
    with pytest.raises(BrokenCardsError) as caught:
        check_cards(project / "dags/models")
    return [str(problem) for problem in caught.value.problems]


def test_one_dag_per_card(project: Path, write_card: WriteCard) -> None:
    """Both suffixes of YAML count, other files do not; nothing is wrong."""
    write_card("sales.yaml")
    write_card("stock.yml")
    write_card("notes.txt")
    assert sorted(load_dags(project / "dags/models")) == ["sales", "stock"]
    check_cards(project / "dags/models")


def test_a_broken_card_leaves_the_others_alone(project: Path, write_card: WriteCard) -> None:
    """Its own DAG shows the error with file, line and caret, has no schedule, and fails with the error."""
    write_card("sales.yaml")
    write_card("stock.yaml", UNKNOWN_KEY)
    dags = load_dags(project / "dags/models")
    assert sorted(dags) == ["sales", "stock"]
    assert len(dags["sales"].tasks) == 4
    broken = dags["stock"]
    assert broken.tags == {"broken-card"}
    assert not broken.timetable.can_be_scheduled
    assert "dags/models/stock.yaml:2:1: unknown key 'output_url'" in str(broken.doc_md)
    with pytest.raises(CardError) as caught:
        broken.tasks[0].execute({})
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert broken.tasks[0].retries == 0


def test_all_problems_of_all_cards_at_once(project: Path, write_card: WriteCard) -> None:
    """The error has one problem per line, each with its place."""
    write_card("sales.yaml", UNKNOWN_KEY)
    write_card("stock.yaml", "input_uri: [\n")
    write_card("good.yaml")
    found = problems_in(project)
    assert any(text.startswith("dags/models/sales.yaml:2:1: unknown key") for text in found)
    assert any("'output_uri' is missing" in text for text in found)
    assert any(text.startswith("dags/models/stock.yaml:") for text in found)
    assert not any("good.yaml" in text for text in found)


def test_two_cards_of_one_name(project: Path, write_card: WriteCard) -> None:
    """The .yaml is used; the .yml is refused with the name of the other."""
    write_card("sales.yaml")
    write_card("sales.yml", "input_uri: s3://other/in/\noutput_uri: s3://other/out/\n")
    dags = load_dags(project / "dags/models")
    assert dags["sales"].params["input_uri"] == "s3://bucket/in/{{ ds }}/"
    (problem,) = problems_in(project)
    assert problem.startswith("dags/models/sales.yml: the model 'sales' is declared by dags/models/sales.yaml already")


def test_a_name_that_no_dag_may_have_cannot_take_anothers_place(project: Path, write_card: WriteCard) -> None:
    """The place holder of "a b" would be a_b, which is a right model's."""
    write_card("a b.yaml")
    write_card("a_b.yaml")
    dags = load_dags(project / "dags/models")
    assert sorted(dags) == ["a_b"]
    assert len(dags["a_b"].tasks) == 4
    (dags["a_b"], *_), (problem,) = dags.values(), problems_in(project)
    assert problem.startswith("dags/models/a b.yaml: name is 'a b'")


def test_files_that_the_model_lacks_are_named(project: Path, write_card: WriteCard) -> None:
    """Only those that its stages need."""
    write_card("sales.yaml", files=False)
    text = "input_uri: s3://bucket/in/\noutput_uri: s3://bucket/out/\nstages: [postprocessing]\nscripts: elsewhere\n"
    write_card("stock.yaml", text, files=False)
    assert [text.partition(" does not exist")[0] for text in problems_in(project)] == [
        "dags/models/sales.yaml: containers/sales/Dockerfile",
        "dags/models/sales.yaml: scripts/sales/preprocessing.py",
        "dags/models/sales.yaml: scripts/sales/postprocessing.py",
        "dags/models/stock.yaml: elsewhere/postprocessing.py",
    ]


def test_what_only_airflow_can_judge_is_the_cards_problem(project: Path, write_card: WriteCard) -> None:
    """A notifier without its provider is refused when the DAG is built, and the other card goes on."""
    uris = "input_uri: s3://bucket/in/\noutput_uri: s3://bucket/out/\n"
    write_card("sales.yaml", uris + 'notify: ["slack:#models"]\n')
    write_card("stock.yaml")
    assert load_dags(project / "dags/models")["sales"].tags == {"broken-card"}
    (problem,) = problems_in(project)
    assert problem.startswith(
        "dags/models/sales.yaml: Airflow refuses it: 'slack:#models' in notify needs apache-airfl"
    )


def test_a_schedule_that_never_comes_is_found_where_it_stands(project: Path, write_card: WriteCard) -> None:
    """With its line and column; the other card goes on."""
    uris = "input_uri: s3://bucket/in/\noutput_uri: s3://bucket/out/\n"
    write_card("sales.yaml", uris + 'schedule: "0 4 31 2 *"\n')
    write_card("stock.yaml")
    assert load_dags(project / "dags/models")["sales"].tags == {"broken-card"}
    (problem,) = problems_in(project)
    assert problem.startswith("dags/models/sales.yaml:3:11: schedule is '0 4 31 2 *'; expected a schedule with a next")


def test_a_file_that_is_no_text(project: Path, write_card: WriteCard) -> None:
    """Its problem is its own."""
    write_card("sales.yaml").write_bytes(b"\xff\xfe\x00")
    (problem,) = problems_in(project)
    assert problem.startswith("dags/models/sales.yaml: it cannot be read: ")


def test_a_worker_loads_the_one_dag_that_it_runs(project: Path, write_card: WriteCard) -> None:
    """With a DAG id, no other card is even read."""
    write_card("sales.yaml")
    write_card("stock.yaml", UNKNOWN_KEY)
    (project / "dags/models/unreadable.yaml").mkdir()
    assert list(load_dags(project / "dags/models", dag_id="sales")) == ["sales"]
    assert list(load_dags(project / "dags/models", dag_id="stock")) == ["stock"]


def test_an_id_without_a_card_loads_all(project: Path, write_card: WriteCard) -> None:
    """The place holder of a card with an odd name is found by its id."""
    write_card("a b.yaml")
    write_card("sales.yaml")
    assert "a_b" in load_dags(project / "dags/models", dag_id="a_b")


def test_checking_leaves_no_dag_behind(project: Path, write_card: WriteCard) -> None:
    """Airflow collects DAGs that register themselves; those built for a check must not be collected."""
    write_card("sales.yaml")
    write_card("stock.yaml", UNKNOWN_KEY)
    DagContext.autoregistered_dags.clear()
    assert problems_in(project)
    assert not DagContext.autoregistered_dags
