"""What a run can cost at most."""

from __future__ import annotations

import pytest

from stepbridge.core.cost_estimate import cost_estimate
from stepbridge.errors import ExecutionInputError

PARAMETERS = {
    "stages": ["inference", "preprocessing"],
    "instance_type": "ml.m5.large",
    "max_runtime": 1800,
    "input_uri": "s3://b/in/",
}


def test_the_estimate_is_every_stage_for_all_its_time() -> None:
    """Two stages of half an hour at 0.115 an hour."""
    estimate = cost_estimate(PARAMETERS, {"ml.m5.large": 0.115, "ml.m5.xlarge": 9}, "run")
    assert estimate.most == pytest.approx(0.115)
    assert estimate.stages == ("preprocessing", "inference")


def test_what_a_run_does_not_say_is_the_default() -> None:
    """Three stages of an hour on ml.m5.large."""
    assert cost_estimate({}, {"ml.m5.large": 2}, "run").most == 6


@pytest.mark.parametrize(
    ("price", "limit", "within"), [(2, 6.0, True), (2, 5.99, False), (0.1, 0.3, True), (0.115, 0.345, True)]
)
def test_the_limit_itself_is_within(price: float, limit: float, within: bool) -> None:
    """Only what is above it is asked about; 3 x 0.1 is 0.3, which binary fractions do not know."""
    assert cost_estimate({}, {"ml.m5.large": price}, "run").within(limit) is within


def test_an_instance_type_without_a_price_is_never_within() -> None:
    """Nobody knows what it costs, and the question says so."""
    estimate = cost_estimate(PARAMETERS | {"instance_type": "ml.g5.xlarge"}, {"ml.m5.large": 1}, "run")
    assert estimate.most is None
    assert not estimate.within(1e9)
    subject, body = estimate.question("sales", "manual__1", 20)
    assert "unknown" in subject
    assert "stepbridge_prices" in body


def test_the_question_has_all_that_somebody_needs_to_decide() -> None:
    """Model, run, stages, instance type, time, price, estimate, limit, and what may come on top."""
    estimate = cost_estimate(PARAMETERS, {"ml.m5.large": 1200}, "run")
    subject, body = estimate.question("sales", "manual__1", 20)
    assert subject == "Start sales? It may cost up to 1,200.00; the limit is 20.00"
    for figure in ("sales", "manual__1", "preprocessing, inference", "ml.m5.large", "1800 s", "1,200.0000", "20.00"):
        assert figure in body
    assert "tries again" in body


def test_a_form_that_cannot_be_estimated_is_refused_with_all_its_problems() -> None:
    """By key."""
    with pytest.raises(ExecutionInputError) as raised:
        cost_estimate({"stages": ["training"], "max_runtime": 0}, {}, "parameters of the run")
    assert len(raised.value.problems) == 2
