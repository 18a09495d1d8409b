"""No DAG, but the import error that Airflow shows when model cards are broken; models.py loads the others."""

from pathlib import Path

from stepbridge.dag_factory import check_cards

check_cards(Path(__file__).resolve().parent / "models")
