"""AWS managed policies, from moto's table. One is read when its ARN is first used, because the table has 1,500.

https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.application import MotoApplication
from stepbridge_local.services.moto.replacement import replace

__all__ = ["install"]

_ARN: Final = re.compile(r"arn:aws[^:]*:iam::aws:policy/(?:.*/)?(?P<name>[^/]+)")
# What takes the ARN of a policy, and what would change the policy itself.
_USING: Final = (
    "attach_role_policy",
    "attach_group_policy",
    "attach_user_policy",
    "get_policy",
    "get_policy_version",
    "list_policy_versions",
    "put_role_permissions_boundary",
    "create_role",
)
_CHANGING: Final = ("create_policy_version", "delete_policy_version", "delete_policy", "tag_policy", "untag_policy")


def _learn(backend: Any, arn: str) -> None:
    """Let the account know the managed policy with this ARN, if there is one."""
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    found = _ARN.fullmatch(arn)
    if found is None or arn in backend.managed_policies:
        return
    data = json.loads(aws_managed_policies_data).get(found["name"])
    if data is not None:
        _add(backend, found["name"], data, arn)


def _learn_all(backend: Any) -> None:
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    for name, data in json.loads(aws_managed_policies_data).items():
        _add(backend, name, data)


def _add(backend: Any, name: str, data: dict[str, Any], arn: str | None = None) -> None:
    from moto.iam.models import AWSManagedPolicy

    policy = AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, data)
    if policy.arn not in backend.managed_policies and arn in (None, policy.arn):
        backend.managed_policies[policy.arn] = policy
        backend.aws_managed_policies.append(policy)


def _texts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[str]:
    return (value for value in (*args, *kwargs.values()) if isinstance(value, str))


def _knowing(original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        for text in _texts(args, kwargs):
            _learn(self, text)
        return original(self, *args, **kwargs)

    return method


def _refusing(original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        for text in _texts(args, kwargs):
            if _ARN.fullmatch(text):
                raise ApiError("AccessDenied", f"Policy {text} is outside your own account.")
        return original(self, *args, **kwargs)

    return method


def _listing(original: Callable[..., Any]) -> Callable[..., Any]:
    def list_policies(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "AWS" in _texts(args, kwargs):
            _learn_all(self)
        return original(self, *args, **kwargs)

    return list_policies


def install(application: MotoApplication) -> None:
    """Let IAM know them, from its first request on."""

    def connect() -> None:
        from moto.iam.models import IAMBackend

        for name in _USING:
            replace(IAMBackend, name, _knowing(getattr(IAMBackend, name)))
        for name in _CHANGING:
            replace(IAMBackend, name, _refusing(getattr(IAMBackend, name)))
        replace(IAMBackend, "list_policies", _listing(IAMBackend.list_policies))

    application.before_first_request(connect, "iam", "cloudformation")
