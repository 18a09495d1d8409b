"""Every resource kind that stacks of the local AWS may have, by its type."""

from __future__ import annotations

from collections.abc import Mapping

from stepbridge.local.moto_seams.cloudformation_compute import COMPUTE_KINDS
from stepbridge.local.moto_seams.cloudformation_iam import IAM_KINDS
from stepbridge.local.moto_seams.cloudformation_kinds import Kind
from stepbridge.local.moto_seams.cloudformation_messaging import MESSAGING_KINDS
from stepbridge.local.moto_seams.cloudformation_storage import STORAGE_KINDS

__all__ = ["KINDS"]

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (*STORAGE_KINDS, *IAM_KINDS, *COMPUTE_KINDS, *MESSAGING_KINDS)}
