"""CloudFormation: stacks and change sets with the behaviour of AWS, on moto's API and template language.

Replaces the backend class of ``moto.cloudformation.models.cloudformation_backends``, and of
``moto.cloudformation.responses.CloudFormationResponse``: create_change_set, get_template_summary and
_validate_different_update.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from stepbridge.local.moto_seams.server import aws_application, before_first_request
from stepbridge.local.services import LocalServices

if TYPE_CHECKING:
    from stepbridge.local.moto_seams.cloudformation_kinds import KindContext

__all__ = ["install"]


def install(services: LocalServices) -> None:
    """Take effect with the first request: moto's CloudFormation imports 2 seconds' worth of other services."""
    before_first_request("cloudformation", lambda: _install(services))


def _install(services: LocalServices) -> None:
    from moto.cloudformation.models import cloudformation_backends
    from moto.cloudformation.responses import CloudFormationResponse

    from stepbridge.local.moto_seams import cloudformation_api
    from stepbridge.local.moto_seams.cloudformation_stacks import LocalStack
    from stepbridge.local.moto_seams.replacement import replace

    LocalStack.context_of = staticmethod(_contexts(services))
    replace(cloudformation_backends, "backend", cloudformation_api.LocalCloudFormation)
    replace(CloudFormationResponse, "create_change_set", cloudformation_api.create_change_set)
    replace(CloudFormationResponse, "get_template_summary", cloudformation_api.get_template_summary)
    replace(CloudFormationResponse, "_validate_different_update", cloudformation_api.leave_to_backend)


def _contexts(services: LocalServices) -> Callable[[str, str], KindContext]:
    from stepbridge.local.moto_seams.cloudformation_kinds import KindContext
    from stepbridge.local.moto_seams.ecr import MotoImageRegistry
    from stepbridge.local.moto_seams.in_process_clients import in_process_clients
    from stepbridge.local.moto_seams.s3 import MotoObjectStore

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
