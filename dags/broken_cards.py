"""Shows broken model cards as an import error in Airflow. It defines no DAG: models.py does."""

from pathlib import Path

from stepbridge.dag_factory import check_cards

check_cards(Path(__file__).resolve().parent / "models")
