"""The partitions of regions."""

from __future__ import annotations

import botocore.session
import pytest
from moto.utilities.utils import get_partition

from stepbridge_local.partitions import dns_suffix, partition

NAMES = ("aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-eusc")


@pytest.mark.parametrize("name", NAMES)
def test_every_region_of_botocore_has_its_partition_and_domain(name: str) -> None:
    """And moto's backends are kept under the same partitions."""
    session = botocore.session.get_session()
    suffixes = {part["id"]: part["outputs"]["dnsSuffix"] for part in session.get_data("partitions")["partitions"]}
    regions = session.get_available_regions("s3", name)
    assert regions
    for region in regions:
        assert (partition(region), dns_suffix(region)) == (name, suffixes[name])
        assert get_partition(region) == name
