"""Every resource kind that stacks of the local AWS may have, by its type."""

from __future__ import annotations

from collections.abc import Mapping

from stepbridge_local.services.cloudformation.resources.compute import COMPUTE_KINDS
from stepbridge_local.services.cloudformation.resources.iam import IAM_KINDS
from stepbridge_local.services.cloudformation.resources.kinds import Kind
from stepbridge_local.services.cloudformation.resources.messaging import MESSAGING_KINDS
from stepbridge_local.services.cloudformation.resources.storage import STORAGE_KINDS

__all__ = ["KINDS"]

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (*STORAGE_KINDS, *IAM_KINDS, *COMPUTE_KINDS, *MESSAGING_KINDS)}
