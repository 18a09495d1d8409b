"""A new build, from its project and the parameters of StartBuild."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from stepbridge_local.partitions import partition
from stepbridge_local.protocols import Scope
from stepbridge_local.services.codebuild.record import BuildRecord
from stepbridge_local.services.codebuild.requests import checked_project, merged_variables

__all__ = ["codebuild_arn", "codebuild_environment", "new_record"]

# Members of source and environment, and the parameters of StartBuild (plus "Override") that replace them.
_SOURCE_OVERRIDES: Final = {"type": "sourceType", "location": "sourceLocation", "buildspec": "buildspec"}
_ENVIRONMENT_OVERRIDES: Final = {
    "image": "image",
    "computeType": "computeType",
    "type": "environmentType",
    "privilegedMode": "privilegedMode",
}
_CONSOLES: Final = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-eusc": "console.amazonaws-eusc.eu",
}


def new_record(scope: Scope, project: Mapping[str, Any], request: Mapping[str, Any], number: int) -> BuildRecord:
    """The record of a build that was submitted and is queued. Raises InvalidInputException."""
    name = project["name"]
    now = datetime.now(UTC)
    unique = str(uuid.uuid4())
    source = {
        **project["source"],
        **{
            member: request[f"{parameter}Override"]
            for member, parameter in _SOURCE_OVERRIDES.items()
            if f"{parameter}Override" in request
        },
    }
    environment = {
        **project["environment"],
        **{
            member: request[f"{parameter}Override"]
            for member, parameter in _ENVIRONMENT_OVERRIDES.items()
            if f"{parameter}Override" in request
        },
        "environmentVariables": merged_variables(
            project["environment"].get("environmentVariables", []), request.get("environmentVariablesOverride", [])
        ),
    }
    checked_project({**project, "source": source, "environment": environment})
    fixed = {
        "id": f"{name}:{unique}",
        "arn": codebuild_arn(scope, f"build/{name}:{unique}"),
        "buildNumber": number,
        "startTime": now,
        "projectName": name,
        "source": source,
        "artifacts": {"location": ""},
        "cache": project["cache"],
        "environment": environment,
        "serviceRole": request.get("serviceRoleOverride", project["serviceRole"]),
        "timeoutInMinutes": request.get("timeoutInMinutesOverride", project["timeoutInMinutes"]),
        "queuedTimeoutInMinutes": request.get("queuedTimeoutInMinutesOverride", project["queuedTimeoutInMinutes"]),
        "initiator": "local",
        "encryptionKey": project["encryptionKey"],
        "logs": _logs_of(scope, project, request, unique),
    }
    if "sourceVersion" in request:
        fixed["sourceVersion"] = request["sourceVersion"]
    record = BuildRecord(fixed)
    record.begin("SUBMITTED", now)
    record.finish("SUCCEEDED", now)
    record.begin("QUEUED", now)
    return record


def _logs_of(scope: Scope, project: Mapping[str, Any], request: Mapping[str, Any], unique: str) -> dict[str, Any]:
    configuration = request.get("logsConfigOverride", project.get("logsConfig", {})).get("cloudWatchLogs", {})
    configured = {"status": "ENABLED", **configuration}
    if configured["status"] != "ENABLED":
        return {"cloudWatchLogs": configured}
    group = configured.get("groupName") or f"/aws/codebuild/{project['name']}"
    prefix = configured.get("streamName")
    stream = f"{prefix}/{unique}" if prefix else unique
    arn = f"arn:{partition(scope.region)}:logs:{scope.region}:{scope.account_id}:log-group:{group}:log-stream:{stream}"
    console = _CONSOLES.get(partition(scope.region), _CONSOLES["aws"])
    link = f"https://{console}/cloudwatch/home?region={scope.region}#logEvent:group={group};stream={stream}"
    return {
        "groupName": group,
        "streamName": stream,
        "deepLink": link,
        "cloudWatchLogsArn": arn,
        "cloudWatchLogs": configured,
    }


def codebuild_environment(scope: Scope, fixed: Mapping[str, Any]) -> dict[str, str]:
    """The variables that CodeBuild sets: https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-env-vars.html"""
    return {
        "AWS_DEFAULT_REGION": scope.region,
        "AWS_REGION": scope.region,
        "CODEBUILD_BUILD_ARN": fixed["arn"],
        "CODEBUILD_BUILD_ID": fixed["id"],
        "CODEBUILD_BUILD_IMAGE": fixed["environment"]["image"],
        "CODEBUILD_BUILD_NUMBER": str(fixed["buildNumber"]),
        "CODEBUILD_INITIATOR": fixed["initiator"],
        "CODEBUILD_KMS_KEY_ID": fixed["encryptionKey"],
        "CODEBUILD_LOG_PATH": fixed["logs"].get("streamName", ""),
        "CODEBUILD_RESOLVED_SOURCE_VERSION": fixed.get("sourceVersion", ""),
        "CODEBUILD_SOURCE_REPO_URL": fixed["source"].get("location", ""),
        "CODEBUILD_SOURCE_VERSION": fixed.get("sourceVersion")
        or f"arn:{partition(scope.region)}:s3:::{fixed['source'].get('location', '')}",
        "CODEBUILD_START_TIME": str(int(fixed["startTime"].timestamp() * 1000)),
    }


def codebuild_arn(scope: Scope, resource: str) -> str:
    """The ARN of a project (``project/name``) or a build (``build/id``)."""
    return f"arn:{partition(scope.region)}:codebuild:{scope.region}:{scope.account_id}:{resource}"
