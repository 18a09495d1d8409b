"""Token buckets and AWS's rates; when a fault strikes."""

from __future__ import annotations

import pytest

from stepbridge_local.fault_injection.aws_rates import THROTTLED_OPERATIONS, aws_rate
from stepbridge_local.fault_injection.chance import Chance
from stepbridge_local.fault_injection.faults import ErrorFault, RateSetting, ThrottlingFault
from stepbridge_local.fault_injection.requests import RequestFaults
from stepbridge_local.fault_injection.token_bucket import Buckets, Rate
from stepbridge_local.protocols import Scope, ServiceError


class Seconds:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


HERE, ELSEWHERE = Scope("123456789012", "us-east-1"), Scope("123456789012", "eu-central-1")


def taken(buckets: Buckets, rate: Rate, wanted: int, key: object = "key") -> int:
    return sum(buckets.take(key, rate) for _ in range(wanted))  # type: ignore[arg-type]


def test_a_bucket_is_full_at_first_then_refills_and_never_overflows() -> None:
    """As AWS throttles: a burst, then the refill rate; what is not used is not saved beyond the bucket."""
    clock = Seconds()
    buckets, rate = Buckets(clock), Rate(10, 2)
    assert taken(buckets, rate, 15) == 10
    clock.now = 1.4
    assert taken(buckets, rate, 15) == 2
    clock.now = 1.5  # 0.8 of a token was left over
    assert taken(buckets, rate, 15) == 1
    clock.now = 1000
    assert taken(buckets, rate, 15) == 10


def test_each_key_has_its_own_bucket() -> None:
    """An account's region does not pay for another one."""
    buckets = Buckets(Seconds())
    assert taken(buckets, Rate(1, 1), 2, "a") == 1
    assert taken(buckets, Rate(1, 1), 2, "b") == 1


@pytest.mark.parametrize(
    ("operation", "large", "small"),
    [
        ("states:StartExecution", Rate(1300, 300), Rate(800, 150)),
        ("states:RedriveExecution", Rate(1300, 300), Rate(800, 150)),
        ("states:DescribeExecution", Rate(300, 15), Rate(250, 10)),
        ("states:ListExecutions", Rate(200, 5), Rate(100, 2)),
        ("states:GetExecutionHistory", Rate(400, 20), Rate(400, 20)),
        ("states:StopExecution", Rate(1000, 200), Rate(500, 25)),
        ("sagemaker:CreateProcessingJob", Rate(1, 1), Rate(1, 1)),
    ],
)
def test_the_rates_are_those_of_aws(operation: str, large: Rate, small: Rate) -> None:
    """The three large regions have their own."""
    for region in ("us-east-1", "us-west-2", "eu-west-1"):
        assert aws_rate(operation, region) == large
    assert aws_rate(operation, "eu-central-1") == small
    assert operation in THROTTLED_OPERATIONS


def test_an_operation_without_a_rate_is_never_throttled() -> None:
    """Throttling is about the operations in the table."""
    assert aws_rate("s3:GetObject", "us-east-1") is None
    faults = RequestFaults(ThrottlingFault(), [], Buckets(Seconds()))
    for _ in range(5000):
        faults.check("s3:GetObject", HERE)


def test_throttling_is_per_operation_account_and_region() -> None:
    """CreateProcessingJob's second call at once is refused in that region only, with AWS's words."""
    faults = RequestFaults(ThrottlingFault(), [], Buckets(Seconds()))
    faults.check("sagemaker:CreateProcessingJob", HERE)
    with pytest.raises(ServiceError) as caught:
        faults.check("sagemaker:CreateProcessingJob", HERE)
    assert (caught.value.code, caught.value.message) == ("ThrottlingException", "Rate exceeded")
    assert caught.value.http_status == 400
    faults.check("sagemaker:CreateProcessingJob", ELSEWHERE)
    faults.check("sagemaker:CreateProcessingJob", Scope("210987654321", "us-east-1"))
    faults.check("states:StartExecution", HERE)


def test_own_rates_go_before_those_of_aws() -> None:
    """And without AWS's they are the only ones."""
    own = {"states:StartExecution": RateSetting(bucket=1, refill_per_second=0.1)}
    faults = RequestFaults(ThrottlingFault(aws=False, rates=own), [], Buckets(Seconds()))
    faults.check("states:StartExecution", HERE)
    with pytest.raises(ServiceError, match="Rate exceeded"):
        faults.check("states:StartExecution", HERE)
    for _ in range(5):
        faults.check("sagemaker:CreateProcessingJob", HERE)


def test_the_same_seed_strikes_the_same_candidates() -> None:
    """So that a failing test can be run again; another seed strikes others."""

    def struck(seed: int) -> list[bool]:
        chance = Chance(rate=0.3, seed=seed)
        return [chance.strike() for _ in range(200)]

    assert struck(7) == struck(7)
    assert struck(7) != struck(8)
    assert 30 < sum(struck(7)) < 90


def test_a_fault_is_over_after_its_times() -> None:
    """The next three only; later candidates are not even counted."""
    chance = Chance(times=3)
    assert [chance.strike() for _ in range(5)] == [True, True, True, False, False]
    assert (chance.candidates, chance.strikes, chance.is_over) == (3, 3, True)


def test_other_operations_do_not_use_up_a_fault() -> None:
    """Only what a fault names is its candidate."""
    rule, chance = ErrorFault(operations=("states:Start*",), times=1), Chance(times=1)
    faults = RequestFaults(None, [(rule, chance)], Buckets(Seconds()))
    assert faults.effect_on("states:DescribeExecution", HERE).error is None
    error = faults.effect_on("states:StartExecution", HERE).error
    assert error is not None
    assert (error.code, error.http_status) == ("InternalFailure", 500)
    assert faults.effect_on("states:StartExecution", HERE).error is None
