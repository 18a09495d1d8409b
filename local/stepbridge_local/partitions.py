"""AWS's partitions: the groups of regions that have their own ARNs, domain and accounts, such as China.

https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
"""

from __future__ import annotations

from typing import Final

__all__ = ["dns_suffix", "partition"]

# How the names of a partition's regions begin, its name in ARNs, and the domain of its services.
_PARTITIONS: Final = (
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
    ("", "aws", "amazonaws.com"),
)


def partition(region: str) -> str:
    """The partition of a region, as it stands in ARNs."""
    return _of(region)[1]


def dns_suffix(region: str) -> str:
    """The domain of the services of a region's partition; ``AWS::URLSuffix`` in templates."""
    return _of(region)[2]


def _of(region: str) -> tuple[str, str, str]:
    return next(each for each in _PARTITIONS if region.startswith(each[0]))
