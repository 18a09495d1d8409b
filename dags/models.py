"""One Airflow DAG per model card in the folder models."""

from pathlib import Path

from airflow.sdk import get_parsing_context

from stepbridge.dag_factory import load_dags

globals().update(load_dags(Path(__file__).resolve().parent / "models", get_parsing_context().dag_id))
