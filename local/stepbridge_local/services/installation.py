"""Connects the local AWS's services to moto.

A service uses moto only in its ``moto`` module or package. ``services.moto`` has what these share. moto's internals are
private, so its version is pinned exactly, and ``tests/contract/test_moto_names.py`` fails if a replaced name or its
signature changes.

moto keeps its state in module globals, and so are its replaced parts. So a process can contain only one local AWS.
Nothing of the local AWS itself is global: replaced functions get what they need from here.
"""

from __future__ import annotations

from stepbridge_local.services.cloudformation.moto import install as cloudformation
from stepbridge_local.services.codebuild import moto as codebuild
from stepbridge_local.services.iam.moto import managed_policies
from stepbridge_local.services.iam.moto import simulation as iam_simulation
from stepbridge_local.services.local_services import LocalServices
from stepbridge_local.services.logs import moto as logs
from stepbridge_local.services.moto.application import MotoApplication
from stepbridge_local.services.sagemaker import moto as sagemaker
from stepbridge_local.services.sns import moto as sns
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
    managed_policies.install(application)
    sns.install(application)
    sqs.install(application)
