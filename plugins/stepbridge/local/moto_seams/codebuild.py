"""CodeBuild: builds are refused until they really run; moto's would all succeed at once."""

from __future__ import annotations

from typing import Any

from moto.codebuild.responses import CodeBuildResponse

from stepbridge.local.moto_seams.api_fault import ApiFault
from stepbridge.local.moto_seams.replacement import replace
from stepbridge.local.services import LocalServices

__all__ = ["install"]


def _refuse(_response: CodeBuildResponse) -> Any:
    raise ApiFault("InvalidInputException", "The local AWS cannot run builds yet")


def install(_services: LocalServices) -> None:
    """Refuse builds."""
    replace(CodeBuildResponse, "start_build", _refuse)
