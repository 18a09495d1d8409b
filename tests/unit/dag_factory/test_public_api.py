"""What ``stepbridge.dag_factory`` offers to DAG files."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import DAG

from stepbridge import dag_factory

CARD = "input_uri: s3://bucket/in/\noutput_uri: s3://bucket/out/\n"


def test_every_public_name_has_a_docstring() -> None:
    """It says what a caller gets."""
    for name in dag_factory.__all__:
        assert getattr(dag_factory, name).__doc__, name


def test_a_dag_of_ones_own_takes_the_tasks_of_a_card() -> None:
    """As the package's docstring shows it."""
    card = dag_factory.parse_card(CARD, "sales.yaml")
    with DAG("nightly", schedule="@daily", params=dag_factory.form_params(card)) as dag:
        report = dag_factory.add_tasks(card, Path())
    assert set(dag.task_ids) == {"build_image", "upload_scripts", "start_execution", "wait_for_execution"}
    assert report.task_id == "wait_for_execution"
    assert report.outlets == [dag_factory.model_asset(card)]
