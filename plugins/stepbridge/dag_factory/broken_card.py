"""The DAG of a model whose card is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator

from stepbridge.errors import CardError

if TYPE_CHECKING:
    from airflow.sdk import Context


class BrokenCardOperator(BaseOperator):
    """Fails with ``error``, which is what is wrong with a card."""

    ui_color = "#f4cccc"

    def __init__(self, *, error: CardError, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error = error

    def execute(self, context: Context) -> None:  # noqa: ARG002  Airflow's signature
        """Raises the card's error."""
        raise self.error


def broken_card_dag(dag_id: str, error: CardError) -> DAG:
    """A DAG without a schedule, tagged ``broken-card``, that shows the error and fails with it when it is triggered."""
    text = "\n".join(str(problem) for problem in error.problems)
    with DAG(
        dag_id,
        description=f"BROKEN CARD: {error.problems[0].found}"[:1000],
        schedule=None,
        tags=["broken-card"],
        auto_register=False,
        doc_md=f"The model card `{error.source}` is broken, so this model does not run:\n\n```\n{text}\n```\n",
    ) as dag:
        BrokenCardOperator(task_id="read_model_card", error=error, retries=0)
    return dag
