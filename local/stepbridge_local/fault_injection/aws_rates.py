"""AWS's request rates per account and region, as token buckets.

Step Functions: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html ("Quotas related to API action
throttling"). CreateProcessingJob: 1 a second, not adjustable, which AWS does not publish.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from stepbridge_local.fault_injection.token_bucket import Rate

__all__ = ["LARGE_REGIONS", "THROTTLED_OPERATIONS", "aws_rate"]

LARGE_REGIONS: Final = frozenset({"us-east-1", "us-west-2", "eu-west-1"})

# Operation: the rate in the large regions, the rate elsewhere.
_RATES: Final[Mapping[str, tuple[Rate, Rate]]] = MappingProxyType(
    {
        "states:StartExecution": (Rate(1300, 300), Rate(800, 150)),
        "states:RedriveExecution": (Rate(1300, 300), Rate(800, 150)),
        "states:DescribeExecution": (Rate(300, 15), Rate(250, 10)),
        "states:ListExecutions": (Rate(200, 5), Rate(100, 2)),
        "states:GetExecutionHistory": (Rate(400, 20), Rate(400, 20)),
        "states:StopExecution": (Rate(1000, 200), Rate(500, 25)),
        "sagemaker:CreateProcessingJob": (Rate(1, 1), Rate(1, 1)),
    }
)
THROTTLED_OPERATIONS: Final = tuple(_RATES)


def aws_rate(operation: str, region: str) -> Rate | None:
    """The rate of ``operation`` (``states:StartExecution``) in ``region``; None for one that has none here."""
    rates = _RATES.get(operation)
    return None if rates is None else rates[0 if region in LARGE_REGIONS else 1]
