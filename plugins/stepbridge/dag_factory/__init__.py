"""Model card -> DAG. ``dags/models.py`` calls ``load_dags``; ``dags/broken_cards.py`` calls ``check_cards``."""

from stepbridge.dag_factory.dag import build_dag
from stepbridge.dag_factory.loader import BrokenCardsError, check_cards, load_dags

__all__ = ["BrokenCardsError", "build_dag", "check_cards", "load_dags"]
