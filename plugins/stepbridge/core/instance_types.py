"""Instance types to take when one is not to be had: the same size in a sibling family.

The families and sizes are those of SageMaker's ``ProcessingInstanceType``; a test holds them against botocore's model.
Only AWS knows which of them a region has, and an account's quota for them.
"""

from typing import Final

_SIBLINGS: Final = (("m5", "m6i", "m7i"), ("c5", "c6i", "c7i"), ("r5", "r6i", "r7i"), ("g4dn", "g5", "g6"))
"""Families that have about the same memory and processors per size."""

_SIZES: Final = {
    "m5": "large xlarge 2xlarge 4xlarge 12xlarge 24xlarge",
    "m6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
    "m7i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
    "c5": "xlarge 2xlarge 4xlarge 9xlarge 18xlarge",
    "c6i": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
    "c7i": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
    "r5": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge",
    "r6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
    "r7i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
    "g4dn": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
    "g5": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
    "g6": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
}
INSTANCE_TYPES: Final = tuple(f"ml.{family}.{size}" for family, sizes in _SIZES.items() for size in sizes.split())
"""What the form offers; it takes any other."""

_INSTEAD_OF: Final = {"m4": "m5", "t3": "m5", "c4": "c5", "r5d": "r5"}
"""Families that have a newer one in the tables."""


def alternatives(instance_type: str | None) -> tuple[str, ...]:
    """Types like ``instance_type`` (``ml.m5.large``), the nearest family first; none for an unknown family."""
    _, _, rest = (instance_type or "").partition("ml.")
    family, _, size = rest.partition(".")
    known = _INSTEAD_OF.get(family, family)
    siblings = next((families for families in _SIBLINGS if known in families), ())
    return tuple(f"ml.{other}.{size}" for other in siblings if other != family and size in _SIZES[other].split())
