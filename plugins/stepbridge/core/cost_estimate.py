"""What a run can cost at most, before it starts. Pure.

Each stage is one Processing job on one instance (asl/batch_inference.asl.json), which SageMaker ends at
``max_runtime``. Jobs that the state machine or Airflow tries again cost more than that; the question says so in words.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from stepbridge.core import defaults, fields
from stepbridge.core.names import STAGES
from stepbridge.core.problems import problems_of
from stepbridge.core.run_report.cost import SECONDS_PER_HOUR
from stepbridge.errors import ExecutionInputError

COSTED_KEYS: Final = ("stages", "instance_type", "max_runtime")
"""The parameters of a run that its cost depends on."""


class CostEstimate(BaseModel):
    """At most ``most``, in the currency of the prices; None when the instance type has no price.

    ``max_runtime`` is in seconds for each stage, ``price_per_hour`` is that of one instance.
    """

    model_config = ConfigDict(frozen=True)

    stages: fields.Stages = STAGES
    instance_type: fields.InstanceType = defaults.DEFAULT_INSTANCE_TYPE
    max_runtime: fields.MaxRuntimeSeconds = defaults.DEFAULT_MAX_RUNTIME_SECONDS

    price_per_hour: float | None = None

    @property
    def most(self) -> float | None:
        if self.price_per_hour is None:
            return None
        seconds = len(self.stages) * self.max_runtime
        return round(seconds / SECONDS_PER_HOUR * self.price_per_hour, 6)  # as the run report's cost is

    def within(self, limit: float) -> bool:
        """Whether the run is known to cost no more than ``limit``."""
        return self.most is not None and self.most <= limit

    def question(self, model: str, run_id: str, limit: float) -> tuple[str, str]:
        """The subject, in one line, and the body, in Markdown, of the question whether the run may start."""
        most = "an unknown sum" if self.most is None else f"up to {self.most:,.2f}"
        subject = f"Start {model}? It may cost {most}; the limit is {limit:,.2f}"
        price = "unknown: neither the card's `prices` nor the Variable `stepbridge_prices` has this instance type"
        if self.price_per_hour is not None:
            price = f"{self.price_per_hour:,.4f} an hour"
        rows = (
            ("model", model),
            ("run", f"`{run_id}`"),
            ("stages", ", ".join(self.stages)),
            ("instance type", f"{self.instance_type}, one instance a stage"),
            ("price", price),
            ("maximum runtime", f"{self.max_runtime} s a stage"),
            ("estimate", "unknown" if self.most is None else f"at most {self.most:,.2f}"),
            ("limit (`max_cost`)", f"{limit:,.2f}"),
        )
        table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
        more = (
            "The estimate is every stage running until its maximum runtime, in the currency of the prices. A job that "
            "the state machine or Airflow tries again, for want of capacity say, comes on top; so do storage and data "
            "transfer. If it is rejected, nothing is started and the run's other tasks are skipped."
        )
        return subject, f"{table}\n\n{more}"


def cost_estimate(parameters: Mapping[str, Any], prices: Mapping[str, float], where: str) -> CostEstimate:
    """The estimate for a run with these parameters; only ``COSTED_KEYS`` count.

    Raises ExecutionInputError, which names ``where`` they come from, when one of them cannot be used.
    """
    values = {key: value for key, value in parameters.items() if key in COSTED_KEYS}
    try:
        estimate = CostEstimate.model_validate(values)
    except ValidationError as error:
        raise ExecutionInputError(where, problems_of(error, where, COSTED_KEYS)) from None
    return estimate.model_copy(update={"price_per_hour": prices.get(estimate.instance_type)})
