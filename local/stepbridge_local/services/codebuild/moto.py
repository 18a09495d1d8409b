"""CodeBuild's API on ``services.codebuild``: moto's own builds would all succeed at once."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

import moto.codebuild.urls
from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from stepbridge_local.protocols import Scope, ServiceError
from stepbridge_local.services.codebuild.service import BuildService
from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace, with_collaborators

__all__ = ["install"]

PAGE: Final = 100


class _BuildResponse(BaseResponse):
    """Replaces moto.codebuild.responses.CodeBuildResponse. Each public method is the operation of that name."""

    builds: BuildService

    def __init__(self) -> None:
        super().__init__(service_name="codebuild")

    def create_project(self) -> ActionResult:
        return self._answer(lambda: {"project": self.builds.create_project(self._scope, self._request)})

    def update_project(self) -> ActionResult:
        return self._answer(lambda: {"project": self.builds.update_project(self._scope, self._request)})

    def delete_project(self) -> ActionResult:
        self.builds.delete_project(self._scope, self._request["name"])
        return EmptyResult()

    def list_projects(self) -> ActionResult:
        return self._page("projects", self.builds.project_names(self._scope))

    def batch_get_projects(self) -> ActionResult:
        found, missing = self.builds.projects(self._scope, self._request["names"])
        return ActionResult({"projects": found, "projectsNotFound": missing})

    def start_build(self) -> ActionResult:
        return self._answer(lambda: {"build": self.builds.start(self._scope, self._request)})

    def stop_build(self) -> ActionResult:
        return self._answer(lambda: {"build": self.builds.stop(self._scope, self._request["id"])})

    def batch_get_builds(self) -> ActionResult:
        found, missing = self.builds.builds(self._scope, self._request["ids"])
        return ActionResult({"builds": found, "buildsNotFound": missing})

    def list_builds(self) -> ActionResult:
        return self._page("ids", self.builds.build_ids(self._scope, None, self._ascending))

    def list_builds_for_project(self) -> ActionResult:
        name = self._request["projectName"]
        try:
            ids = self.builds.build_ids(self._scope, name, self._ascending)
        except ServiceError as error:
            raise ApiError(error.code, error.message) from error
        return self._page("ids", ids)

    @property
    def _scope(self) -> Scope:
        return Scope(self.current_account, self.region)

    @property
    def _request(self) -> dict[str, Any]:
        request: dict[str, Any] = json.loads(self.body or "{}")
        return request

    @property
    def _ascending(self) -> bool:
        return bool(self._request.get("sortOrder") == "ASCENDING")

    def _answer(self, operation: Callable[[], dict[str, Any]]) -> ActionResult:
        try:
            return ActionResult(operation())
        except ServiceError as error:
            raise ApiError(error.code, error.message) from error

    def _page(self, member: str, items: list[str]) -> ActionResult:
        """A hundred items; the token is the place of the next one."""
        token = self._request.get("nextToken")
        try:
            start = int(base64.b64decode(token)) if token else 0
        except ValueError as error:
            raise ApiError("InvalidInputException", f"Invalid nextToken: {token}") from error
        answer: dict[str, Any] = {member: items[start : start + PAGE]}
        if len(items) > start + PAGE:
            answer["nextToken"] = base64.b64encode(str(start + PAGE).encode()).decode()
        return ActionResult(answer)


def install(builds: BuildService) -> None:
    """Answer CodeBuild's API with ``builds``."""
    response = with_collaborators(_BuildResponse, builds=builds)
    replace(moto.codebuild.urls, "url_paths", {"{0}/$": response.dispatch})
