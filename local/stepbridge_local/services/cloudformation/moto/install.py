"""CloudFormation: stacks and change sets with the behaviour of AWS, on moto's API and template language.

Replaces the backend class of ``moto.cloudformation.models.cloudformation_backends``, and of
``moto.cloudformation.responses.CloudFormationResponse``: create_change_set, get_template_summary and
_validate_different_update.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from stepbridge_local.services.ecr.moto.registry import MotoImageRegistry
from stepbridge_local.services.moto.application import MotoApplication
from stepbridge_local.services.s3.moto.store import MotoObjectStore

if TYPE_CHECKING:
    from stepbridge_local.services.cloudformation.resource_type import StackContext

__all__ = ["install"]


def install(
    application: MotoApplication, store: MotoObjectStore, registry: MotoImageRegistry, endpoint_url: str
) -> None:
    """Takes effect with the first request, because importing moto's CloudFormation takes 2 seconds."""
    application.before_first_request(
        lambda: _install(_contexts(application, store, registry, endpoint_url)), "cloudformation"
    )


def _install(context_of: Callable[[str, str], StackContext]) -> None:
    from moto.cloudformation.models import cloudformation_backends
    from moto.cloudformation.responses import CloudFormationResponse

    from stepbridge_local.services.cloudformation.moto import api
    from stepbridge_local.services.moto.replacement import replace, with_collaborators

    backend = with_collaborators(api.LocalCloudFormation, context_of=staticmethod(context_of))
    replace(cloudformation_backends, "backend", backend)
    replace(CloudFormationResponse, "create_change_set", api.create_change_set)
    replace(CloudFormationResponse, "get_template_summary", api.get_template_summary)
    replace(CloudFormationResponse, "_validate_different_update", api.leave_to_backend)


def _contexts(
    application: MotoApplication, store: MotoObjectStore, registry: MotoImageRegistry, endpoint_url: str
) -> Callable[[str, str], StackContext]:
    from stepbridge_local.services.cloudformation.resource_type import StackContext
    from stepbridge_local.services.moto.in_process_clients import in_process_clients

    @cache
    def context_of(account_id: str, region: str) -> StackContext:
        def take_restored(type_name: str, name: str) -> bool:
            if type_name == "AWS::S3::Bucket":
                return store.take_restored(name)
            return type_name == "AWS::ECR::Repository" and registry.take_restored(account_id, region, name)

        clients = in_process_clients(application, account_id, region)
        return StackContext(account_id, region, endpoint_url, clients, take_restored)

    return context_of
