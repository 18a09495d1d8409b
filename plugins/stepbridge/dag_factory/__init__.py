"""Model card -> DAG. The public names for DAG files; everything else in this package may change.

``dags/models.py`` needs one call, ``load_dags``; ``dags/broken_cards.py`` calls ``check_cards``. A DAG file of your own
reads a card with ``parse_card`` and builds its DAG with ``build_dag``, or puts the model's tasks into a DAG or a task
group of its own with ``add_tasks`` and gives that DAG the parameters of ``form_params``::

    card = parse_card(path.read_text(), str(path))
    with DAG("nightly", schedule="@daily", params=form_params(card)):
        report = add_tasks(card, project_root)
"""

from stepbridge.core.model_card import ModelCard, parse_card
from stepbridge.dag_factory.dag import add_tasks, build_dag, model_asset
from stepbridge.dag_factory.form import form_params
from stepbridge.dag_factory.loader import BrokenCardsError, check_cards, load_dags
from stepbridge.errors import CardError
from stepbridge.operators.retry_policy import ModelRetryPolicy

__all__ = [
    "BrokenCardsError",
    "CardError",
    "ModelCard",
    "ModelRetryPolicy",
    "add_tasks",
    "build_dag",
    "check_cards",
    "form_params",
    "load_dags",
    "model_asset",
    "parse_card",
]
