"""IAM's SimulatePrincipalPolicy for roles, which moto does not have. Uses ``stepbridge_local.services.iam``."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse

from stepbridge_local.services.iam.decision import Need, decide
from stepbridge_local.services.iam.moto.authorization import MotoDirectory
from stepbridge_local.services.iam.permissions import role_session
from stepbridge_local.services.moto.api_errors import ApiError

__all__ = ["install"]

_CALLER_SESSION = "simulation"


def _simulate_principal_policy(self: IamResponse) -> ActionResult:
    """The operation, for each resource separately. It uses the role's policies and limits, not resource policies."""
    arn = str(self._get_param("PolicySourceArn"))
    role = MotoDirectory().role(arn)
    if role is None:
        raise ApiError("NoSuchEntity", f"{arn}: only roles can be simulated here, and there is no such role")
    caller = role_session(role, _CALLER_SESSION)
    entries: list[dict[str, Any]] = self._get_param("ContextEntries", [])
    context = {entry["ContextKeyName"].lower(): tuple(entry["ContextKeyValues"]) for entry in entries}
    results = []
    for action in self._get_param("ActionNames", []):
        for resource in self._get_param("ResourceArns", ["*"]):
            access = decide(caller, Need(action, resource, context))
            denied = "explicitDeny" if "explicit deny" in access.reason else "implicitDeny"
            decision = "allowed" if access.allowed else denied
            results.append({"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": decision})
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def install() -> None:
    """Add the operation to moto's IAM."""
    setattr(IamResponse, _simulate_principal_policy.__name__.lstrip("_"), _simulate_principal_policy)
