"""The prices that the user configured for all models."""

from typing import Any, Final

from airflow.sdk import Variable

from stepbridge.core.run_report.cost import parse_prices

PRICES_VARIABLE: Final = "stepbridge_prices"


def configured_prices() -> dict[str, float]:
    """What an instance hour costs, by instance type, from the Airflow Variable; empty without one.

    To be called in a task, not while a DAG file is parsed. Raises PricesError when the Variable is invalid.
    """
    text: Any = Variable.get(PRICES_VARIABLE, default=None)
    return parse_prices(text) if text else {}
