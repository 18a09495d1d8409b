"""The region's scikit-learn image, against the SageMaker SDK's own answer."""

from __future__ import annotations

import pytest

from stepbridge.deployment.scikit_image import (
    copied_versions,
    newest_version,
    scikit_learn_image,
    scikit_learn_versions,
    sdk_versions,
)


@pytest.mark.long
def test_the_image_is_what_the_sagemaker_sdk_retrieves() -> None:
    """For the newest version in every region that the SDK knows, in all partitions."""
    from sagemaker.core import image_uris  # takes seconds

    version = newest_version(scikit_learn_versions())
    regions = list(scikit_learn_versions()[version]["registries"])
    assert len(regions) > 30
    for region in regions:
        retrieved = image_uris.retrieve(
            "sklearn", region, version=version, py_version="py3", instance_type="ml.m5.large", image_scope="training"
        )
        assert scikit_learn_image(region) == retrieved


def test_the_copy_is_the_sagemaker_sdks_table() -> None:
    """Where it is not, ``make scikit-images`` renews it."""
    assert copied_versions() == sdk_versions()
