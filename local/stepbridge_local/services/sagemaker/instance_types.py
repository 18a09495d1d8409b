"""vCPUs and memory of instance types, as in https://aws.amazon.com/sagemaker/ai/pricing/.

The table consists of two rules and their exceptions: the size gives the vCPUs, the family the memory of each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["InstanceType", "instance_type"]

GIB: Final = 1024**3

_GIB_PER_VCPU: Final[Mapping[str, float]] = {
    **dict.fromkeys(("c5", "c6i", "c7i", "c7i-flex", "c8i", "c8i-flex"), 2.0),
    **dict.fromkeys(("m4", "m5", "m6i", "m7i", "m7i-flex", "m8i", "m8i-flex", "g4dn", "g5", "g6"), 4.0),
    **dict.fromkeys(("r5", "r5d", "r6i", "r7i", "r8i", "r8i-flex", "g6e"), 8.0),
    "t3": 4.0,
    "c4": 1.875,
    "p3": 7.625,
    "p5": 16.0,
}
_VCPUS_OF_SIZES: Final[Mapping[str, int]] = {"large": 2, "xlarge": 4}
_VCPUS_OF_EACH_XLARGE: Final = 4
_EXCEPTIONS: Final[Mapping[str, tuple[int, float]]] = {  # vCPUs, GiB
    "ml.t3.medium": (2, 4.0),
    "ml.c4.8xlarge": (36, 60.0),
    "ml.p2.xlarge": (4, 61.0),
    "ml.p2.8xlarge": (32, 488.0),
    "ml.p2.16xlarge": (64, 732.0),
}
_NAME: Final = re.compile(r"ml\.(?P<family>[a-z0-9-]+)\.(?P<size>(?P<count>\d+)?x?large)")


@dataclass(frozen=True)
class InstanceType:
    """The size of one instance."""

    vcpus: int
    memory_bytes: int


def instance_type(name: str) -> InstanceType | None:
    """The size of ``ml.<family>.<size>``; None for a type that the table does not have, which then sets no limit.

    Types whose sizes AWS published later are missing: ``g7`` and ``g7e``.
    """
    if name in _EXCEPTIONS:
        vcpus, gib = _EXCEPTIONS[name]
        return InstanceType(vcpus, int(gib * GIB))
    match = _NAME.fullmatch(name)
    if match is None or match["family"] not in _GIB_PER_VCPU:
        return None
    vcpus = int(match["count"]) * _VCPUS_OF_EACH_XLARGE if match["count"] else _VCPUS_OF_SIZES[match["size"]]
    return InstanceType(vcpus, int(vcpus * _GIB_PER_VCPU[match["family"]] * GIB))
