"""CloudFormation: stacks and change sets with the behaviour of AWS, on moto's API and template language.

Replaces the backend class of ``moto.cloudformation.models.cloudformation_backends``, and of
``moto.cloudformation.responses.CloudFormationResponse``: create_change_set, get_template_summary and
_validate_different_update.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from stepbridge_local.services.collaborators import LocalServices
from stepbridge_local.services.moto.application import aws_application, before_first_request

if TYPE_CHECKING:
    from stepbridge_local.services.cloudformation.resources.kinds import KindContext

__all__ = ["install"]


def install(services: LocalServices) -> None:
    """Take effect with the first request: moto's CloudFormation imports 2 seconds' worth of other services."""
    before_first_request("cloudformation", lambda: _install(services))


def _install(services: LocalServices) -> None:
    from moto.cloudformation.models import cloudformation_backends
    from moto.cloudformation.responses import CloudFormationResponse

    from stepbridge_local.services.cloudformation.moto import api as cloudformation_api
    from stepbridge_local.services.cloudformation.moto.stacks import LocalStack
    from stepbridge_local.services.moto.replacement import replace

    LocalStack.context_of = staticmethod(_contexts(services))
    replace(cloudformation_backends, "backend", cloudformation_api.LocalCloudFormation)
    replace(CloudFormationResponse, "create_change_set", cloudformation_api.create_change_set)
    replace(CloudFormationResponse, "get_template_summary", cloudformation_api.get_template_summary)
    replace(CloudFormationResponse, "_validate_different_update", cloudformation_api.leave_to_backend)


def _contexts(services: LocalServices) -> Callable[[str, str], KindContext]:
    from stepbridge_local.services.cloudformation.resources.kinds import KindContext
    from stepbridge_local.services.ecr.moto import MotoImageRegistry
    from stepbridge_local.services.moto.in_process_clients import in_process_clients
    from stepbridge_local.services.s3.moto.store import MotoObjectStore

    store, registry = services.store, services.registry
    assert isinstance(store, MotoObjectStore)
    assert isinstance(registry, MotoImageRegistry)

    @cache
    def context_of(account_id: str, region: str) -> KindContext:
        def outlived(kind: str, name: str) -> bool:
            if kind == "AWS::S3::Bucket":
                return store.take_restored(name)
            return kind == "AWS::ECR::Repository" and registry.take_restored(account_id, region, name)

        clients = in_process_clients(aws_application(), account_id, region)
        return KindContext(account_id, region, services.endpoint_url, clients, outlived)

    return context_of
