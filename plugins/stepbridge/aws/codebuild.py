"""CodeBuild: builds started, described, listed and stopped.

API: https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stepbridge.aws.calls import aws_call
from stepbridge.core.statuses import build_status
from stepbridge.errors import NotFoundError

if TYPE_CHECKING:
    from mypy_boto3_codebuild import CodeBuildClient

RECENT_BUILDS: Final = 100  # one page of ListBuildsForProject, and the most that BatchGetBuilds takes


@dataclass(frozen=True)
class BuildPhase:
    """One phase: its type (``BUILD``), its status (empty while it runs) and what CodeBuild says about it."""

    type: str
    status: str
    message: str


@dataclass(frozen=True)
class Build:
    """One build. ``log_group`` and ``log_stream`` are empty until it has begun to log."""

    id: str
    arn: str
    status: str
    current_phase: str
    phases: tuple[BuildPhase, ...]
    log_group: str
    log_stream: str
    environment: Mapping[str, str]

    @property
    def ended(self) -> bool:
        """Raises UnknownStatusError."""
        return build_status(self.status).terminal

    @property
    def succeeded(self) -> bool:
        """Raises UnknownStatusError."""
        return build_status(self.status).succeeded

    @property
    def failed_phase(self) -> BuildPhase | None:
        """The first phase that did not succeed."""
        return next((phase for phase in self.phases if phase.status not in ("", "SUCCEEDED")), None)


class CodeBuild:
    """Builds through one boto3 client. Every method raises ``AwsError``."""

    def __init__(self, client: CodeBuildClient) -> None:
        self._client = client

    def start(self, project: str, source_zip: str, environment: Mapping[str, str], idempotency_token: str) -> Build:
        """Build the zip at ``source_zip`` (``<bucket>/<key>``). ``environment`` is added to the project's variables.

        The same token within five minutes returns the same build, even if it has ended.
        """
        with aws_call("codebuild:StartBuild", project):
            answer = self._client.start_build(
                projectName=project,
                sourceTypeOverride="S3",
                sourceLocationOverride=source_zip,
                environmentVariablesOverride=[
                    {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in environment.items()
                ],
                idempotencyToken=idempotency_token,
            )
        return _build(answer["build"])

    def describe(self, build_id: str) -> Build:
        """Raises NotFoundError when there is no such build."""
        builds = self._batch([build_id])
        if not builds:
            raise NotFoundError(f"codebuild:BatchGetBuilds on {build_id}", "no such build", "that it exists")
        return builds[0]

    def running(self, project: str) -> list[Build]:
        """The builds of the project that have not ended, among its latest hundred."""
        with aws_call("codebuild:ListBuildsForProject", project):
            answer = self._client.list_builds_for_project(projectName=project, sortOrder="DESCENDING")
        recent = answer["ids"][:RECENT_BUILDS]
        return [build for build in self._batch(recent) if not build.ended] if recent else []

    def stop(self, build_id: str) -> None:
        """Stop the build; nothing happens to one that has ended."""
        with aws_call("codebuild:StopBuild", build_id):
            self._client.stop_build(id=build_id)

    def _batch(self, build_ids: list[str]) -> list[Build]:
        with aws_call("codebuild:BatchGetBuilds", ", ".join(build_ids)):
            answer = self._client.batch_get_builds(ids=build_ids)
        return [_build(build) for build in answer["builds"]]


def _build(answer: Mapping[str, Any]) -> Build:
    logs = answer.get("logs", {})
    variables = answer.get("environment", {}).get("environmentVariables", [])
    return Build(
        id=answer["id"],
        arn=answer.get("arn", ""),
        status=answer["buildStatus"],
        current_phase=answer.get("currentPhase", ""),
        phases=tuple(_phase(phase) for phase in answer.get("phases", [])),
        log_group=logs.get("groupName", ""),
        log_stream=logs.get("streamName", ""),
        environment={variable["name"]: variable["value"] for variable in variables},
    )


def _phase(answer: Mapping[str, Any]) -> BuildPhase:
    contexts = (f"{one.get('statusCode', '')} {one.get('message', '')}" for one in answer.get("contexts", []))
    message = "; ".join(text.strip() for text in contexts if text.strip(": "))
    return BuildPhase(answer["phaseType"], answer.get("phaseStatus", ""), message)
