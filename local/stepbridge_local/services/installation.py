"""Connects the local AWS's services to moto.

moto's internals are private. The pin is exact, and ``tests/contract/test_moto_names.py`` fails when a name that is
replaced, or its signature, is no longer what it was. Every touch of moto is in a service's ``moto`` module or package,
or in ``services.moto``, which all of them share.
"""

from __future__ import annotations

from stepbridge_local.services.cloudformation import install as cloudformation
from stepbridge_local.services.codebuild import moto as codebuild
from stepbridge_local.services.collaborators import LocalServices
from stepbridge_local.services.ecr import moto as ecr
from stepbridge_local.services.iam.moto import authorization as iam
from stepbridge_local.services.iam.moto import simulation as iam_simulation
from stepbridge_local.services.logs import moto as logs
from stepbridge_local.services.s3.moto import store as s3
from stepbridge_local.services.sagemaker import moto as sagemaker
from stepbridge_local.services.sqs import moto as sqs
from stepbridge_local.services.stepfunctions import install as stepfunctions

__all__ = ["install"]


def install(services: LocalServices) -> None:
    """Connect every service. Once per process: moto's backends are global, so one process is one local AWS."""
    s3.install(services)
    ecr.install(services)
    logs.install(services)
    cloudformation.install(services)
    sagemaker.install(services)
    stepfunctions.install(services)
    codebuild.install(services)
    iam.install(services)
    iam_simulation.install(services)
    sqs.install(services)
