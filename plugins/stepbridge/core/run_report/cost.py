"""What an execution cost, at the prices that the user configured.

stepbridge has no price list: prices differ by region, contract and time. ``stepbridge_prices`` (an Airflow Variable)
or the card's ``prices`` give them, as what one instance of a type costs an hour.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stepbridge.core.fields import Prices
from stepbridge.core.problems import problems_of
from stepbridge.core.run_report.model import CostReport, RunReport
from stepbridge.errors import DocumentError, Problem

SECONDS_PER_HOUR = 3600

_PRICES: TypeAdapter[dict[str, float]] = TypeAdapter(Prices)


class PricesError(DocumentError):
    """The prices cannot be used."""


def parse_prices(text: str | Mapping[str, Any], source: str = "Variable 'stepbridge_prices'") -> dict[str, float]:
    """The prices that ``text`` (JSON, or the object it stands for) describes. Raises PricesError with all problems."""
    example = 'such as {"ml.m5.large": 0.115}'
    try:
        document = json.loads(text) if isinstance(text, str) else dict(text)
        return _PRICES.validate_python(document)
    except json.JSONDecodeError as error:
        raise PricesError(source, [Problem(source, f"not JSON: {error}", f"a JSON object {example}")]) from None
    except ValidationError as error:
        raise PricesError(source, problems_of(error, source, [], example)) from None


def cost_of(report: RunReport, prices: Mapping[str, float]) -> CostReport:
    """The cost of every job's instance-seconds, failed ones and earlier attempts too."""
    by_stage: dict[str, float] = {}
    unpriced: set[str] = set()
    for stage in report.stages:
        for job in stage.jobs:
            if not job.instance_seconds:
                continue
            price = prices.get(job.instance_type or "")
            if price is None:
                unpriced.add(job.instance_type or "unknown")
                continue
            by_stage[stage.stage] = by_stage.get(stage.stage, 0.0) + job.instance_seconds / SECONDS_PER_HOUR * price
    rounded = {stage: round(amount, 6) for stage, amount in by_stage.items()}
    total = None if unpriced else round(sum(by_stage.values()), 6)
    return CostReport(total=total, by_stage=rounded, unpriced=tuple(sorted(unpriced)))
