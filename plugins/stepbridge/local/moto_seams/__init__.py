"""Every touch of moto's internals: one module per service, each with ``install(services)``.

moto's internals are private. The pin (5.2.5) is exact, and ``tests/contract/test_moto_seams.py`` fails when a name
that is replaced here, or its signature, is no longer what it was.
"""

from __future__ import annotations

import importlib

from stepbridge.local.services import LocalServices

__all__ = ["SEAMS", "install"]

SEAMS = (
    "s3",
    "ecr",
    "logs",
    "cloudformation",
    "sagemaker",
    "stepfunctions",
    "codebuild",
    "iam",
    "iam_simulation",
    "sqs",
)


def install(services: LocalServices) -> None:
    """Connect every seam. Once per process: moto's backends are global, so one process is one local AWS."""
    for seam in SEAMS:
        importlib.import_module(f"{__name__}.{seam}").install(services)
