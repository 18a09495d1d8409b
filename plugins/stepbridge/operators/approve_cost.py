"""CostApprovalOperator: a run that may cost more than its limit waits for somebody's approval."""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context

from stepbridge.core.cost_estimate import COSTED_KEYS, cost_estimate
from stepbridge.hooks.prices import configured_prices
from stepbridge.hooks.task_instance import describe_task
from stepbridge.operators.run_parameters import ParameterisedOperator


class CostApprovalOperator(ParameterisedOperator, ApprovalOperator):
    """Estimate the most that the run can cost; end at once if that is within ``max_cost``, else ask in Airflow's UI.

    It asks as ApprovalOperator does, under Required Actions, and takes its arguments (``response_timeout``,
    ``assigned_users``, ``notifiers``, ``fail_on_reject``). If rejected, the tasks after it are skipped. It
    also asks when the cost is unknown, since an instance type has no price. A program that answers within a second or
    two of the question fails the task: Airflow 3.3.2 takes its worker's end for a failure of the queued task (seen).

    :param max_cost: the limit, in the currency of the prices.
    :param prices: what an instance hour costs, by instance type; by default the Airflow Variable ``stepbridge_prices``.
    :param parameters: see ParameterisedOperator.
    """

    template_fields: Sequence[str] = ParameterisedOperator.template_fields  # the question is written when it runs
    ui_color = "#fff2cc"

    def __init__(self, *, max_cost: float, prices: Mapping[str, float] | None = None, **kwargs: Any) -> None:
        super().__init__(subject=f"Start {kwargs.get('model', '')}?", **kwargs)
        self.max_cost = max_cost
        self.prices = dict(prices or {})

    def execute(self, context: Context) -> Any:
        """None when the run is within the limit; otherwise it defers until somebody has answered.

        Raises ExecutionInputError and PricesError.
        """
        parameters = self.run_parameters(context, COSTED_KEYS)
        prices = self.prices or configured_prices()
        estimate = cost_estimate(parameters, prices, f"parameters of {describe_task(context)}")
        self.subject, self.body = estimate.question(self.model, str(context["run_id"]), self.max_cost)
        if estimate.within(self.max_cost):
            self.log.info("at most %.2f, within the limit of %.2f: nobody is asked", estimate.most, self.max_cost)
            return None
        self.log.info("%s\n%s", self.subject, self.body)
        return super().execute(context)
