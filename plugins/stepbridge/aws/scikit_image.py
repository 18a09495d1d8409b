"""The prebuilt scikit-learn image of a region, from the tables in the SageMaker Python SDK's core."""

from __future__ import annotations

import re
from typing import Final

from stepbridge.aws.deployment_faults import TemplateFault

__all__ = ["newest_version", "scikit_learn_image"]

_INSTANCE_TYPE: Final = "ml.m5.large"  # any x86 type without a GPU: such images are the same for all of them


def scikit_learn_image(region: str, version: str | None = None) -> str:
    """The URI of SageMaker's scikit-learn image in ``region``; without ``version`` (``1.2-1``) the newest known one.

    Takes seconds the first time: importing the SDK does. Raises TemplateFault for a region or version it does not know.
    """
    from sagemaker.core import image_uris

    try:
        if version is None:
            # Processing jobs run the images of the training scope; the SDK has no scope for them.
            version = newest_version(image_uris.config_for_framework("sklearn")["training"]["versions"])
        uri: str = image_uris.retrieve(
            "sklearn", region, version=version, py_version="py3", instance_type=_INSTANCE_TYPE, image_scope="training"
        )
    except ValueError as error:
        remedy = "upgrade sagemaker-core, or name the image with --parameter ScikitImageUri=<image URI>"
        raise TemplateFault("scikit-learn image", str(error), "", remedy) from error
    return uri


def newest_version(versions: dict[str, object]) -> str:
    """The highest of names like ``1.2-1``; those with a suffix (``1.4-2-py312``) are variants and do not count."""
    plain = [version for version in versions if re.fullmatch(r"\d+(\.\d+)*-\d+", version)]
    return max(plain, key=lambda version: [int(part) for part in re.split(r"[.-]", version)])
