"""Connects the local AWS's services to moto.

Each service's touch of moto is in its ``moto`` module or package, and nowhere else; ``services.moto`` has what all of
them share. moto's internals are private: the pin is exact, and ``tests/contract/test_moto_names.py`` fails when a name
that is replaced, or its signature, is no longer what it was.

moto keeps its state, and what is replaced in it, in module globals. That is why one process can be one local AWS only.
Nothing of the local AWS itself is global: what a replaced function needs, it gets from here.
"""

from __future__ import annotations

from stepbridge_local.services.cloudformation.moto import install as cloudformation
from stepbridge_local.services.codebuild import moto as codebuild
from stepbridge_local.services.iam.moto import simulation as iam_simulation
from stepbridge_local.services.local_services import LocalServices
from stepbridge_local.services.logs import moto as logs
from stepbridge_local.services.moto.application import MotoApplication
from stepbridge_local.services.sagemaker import moto as sagemaker
from stepbridge_local.services.sqs import moto as sqs
from stepbridge_local.services.stepfunctions.moto import install as stepfunctions

__all__ = ["install"]


def install(services: LocalServices, application: MotoApplication) -> None:
    """Connect every service. Once per process. Raises RuntimeError when moto's S3 or ECR is in use already."""
    services.store.install()
    services.registry.install()
    logs.install()
    cloudformation.install(application, services.store, services.registry, services.endpoint_url)
    sagemaker.install(services.processing)
    stepfunctions.install(
        application,
        services.executions,
        services.logs,
        services.processing,
        services.permissions,
        services.directory,
        services.fault_injection,
    )
    codebuild.install(services.builds)
    iam_simulation.install()
    sqs.install(application)
