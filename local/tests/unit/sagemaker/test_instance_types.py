"""Sizes of instance types."""

from __future__ import annotations

import botocore.session
import pytest

from stepbridge_local.services.sagemaker.instance_types import GIB, instance_type


@pytest.mark.parametrize(
    ("name", "vcpus", "gib"),
    [
        ("ml.t3.medium", 2, 4),
        ("ml.t3.large", 2, 8),
        ("ml.m5.large", 2, 8),
        ("ml.m5.24xlarge", 96, 384),
        ("ml.c4.xlarge", 4, 7.5),
        ("ml.c4.8xlarge", 36, 60),
        ("ml.c5.9xlarge", 36, 72),
        ("ml.r5.large", 2, 16),
        ("ml.p3.2xlarge", 8, 61),
        ("ml.g4dn.xlarge", 4, 16),
        ("ml.m7i-flex.large", 2, 8),
    ],
)
def test_sizes(name: str, vcpus: int, gib: float) -> None:
    """As AWS lists them."""
    size = instance_type(name)
    assert size is not None
    assert (size.vcpus, size.memory_bytes) == (vcpus, gib * GIB)


def test_every_type_of_the_service_model_has_a_size() -> None:
    """But for the two families that are not in the table."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    names = model.shape_for("ProcessingInstanceType").enum
    assert len(names) > 200
    assert {name.split(".")[1] for name in names if instance_type(name) is None} <= {"g7", "g7e"}


@pytest.mark.parametrize("name", ["", "ml.m5", "m5.large", "ml.m5.metal", "ml.nobody.large"])
def test_an_unknown_type_has_no_size(name: str) -> None:
    """Then a job has no limit but the machine's."""
    assert instance_type(name) is None
