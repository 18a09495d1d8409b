"""Validates the requests of CreateProject, UpdateProject and StartBuild."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepbridge_local.protocols import ServiceError

__all__ = ["DEFAULT_TIMEOUT_MINUTES", "checked_project", "merged_variables", "plain_variables"]

DEFAULT_TIMEOUT_MINUTES: Final = 60
SOURCE_TYPES: Final = ("S3", "NO_SOURCE")
ENVIRONMENT_TYPES: Final = ("LINUX_CONTAINER", "LINUX_EC2")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,149}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REQUIRED: Final = ("name", "source", "artifacts", "environment", "serviceRole")
# Members that the local AWS does not support. To accept them without effect would be misleading.
_REFUSED: Final = (
    "secondarySources",
    "secondaryArtifacts",
    "fileSystemLocations",
    "buildBatchConfig",
    "autoRetryLimit",
)


def checked_project(request: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the members of a project. Raises InvalidInputException with all problems."""
    problems = [f"{member}: missing" for member in _REQUIRED if not request.get(member)]
    if problems:
        raise _invalid(problems)
    if not _NAME.fullmatch(request["name"]):
        problems.append(f"name: {request['name']!r}; expected 2 to 150 letters, digits, dashes and underscores")
    problems += [f"{member}: not available in the local AWS" for member in _REFUSED if request.get(member)]
    problems += _vpc_problems(request.get("vpcConfig"))
    problems += _source_problems(request["source"])
    if request["artifacts"].get("type") != "NO_ARTIFACTS":
        problems.append(f"artifacts.type: {request['artifacts'].get('type')!r}; the local AWS has NO_ARTIFACTS")
    if request["environment"].get("type") not in ENVIRONMENT_TYPES:
        known = ", ".join(ENVIRONMENT_TYPES)
        problems.append(f"environment.type: {request['environment'].get('type')!r}; the local AWS has {known}")
    problems += _variable_problems(request["environment"].get("environmentVariables", []))
    if not re.match(r"arn:aws[a-z-]*:iam::", str(request["serviceRole"])):
        problems.append(f"serviceRole: {request['serviceRole']!r}; expected the ARN of a role")
    if not 5 <= int(request.get("timeoutInMinutes", DEFAULT_TIMEOUT_MINUTES)) <= 2160:
        problems.append(f"timeoutInMinutes: {request['timeoutInMinutes']}; expected 5 to 2160")
    if problems:
        raise _invalid(problems)
    return copy.deepcopy(dict(request))


def merged_variables(
    project: Sequence[Mapping[str, str]], overrides: Sequence[Mapping[str, str]]
) -> list[dict[str, str]]:
    """The project's variables, replaced and extended by those of StartBuild. Raises InvalidInputException."""
    problems = _variable_problems(overrides)
    if problems:
        raise _invalid(problems)
    merged = {variable["name"]: {"type": "PLAINTEXT", **variable} for variable in [*project, *overrides]}
    return list(merged.values())


def plain_variables(variables: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Name and value of each variable."""
    return {variable["name"]: variable["value"] for variable in variables}


def _vpc_problems(vpc: Mapping[str, Any] | None) -> list[str]:
    """A VPC is stored and described, but has no effect. AWS wants all of it, or nothing."""
    if not vpc:
        return []
    return [
        f"vpcConfig.{member}: missing" for member in ("vpcId", "subnets", "securityGroupIds") if not vpc.get(member)
    ]


def _source_problems(source: Mapping[str, Any]) -> list[str]:
    source_type = source.get("type")
    if source_type not in SOURCE_TYPES:
        return [f"source.type: {source_type!r}; the local AWS has {', '.join(SOURCE_TYPES)}"]
    if source_type == "S3" and not source.get("location"):
        return ["source.location: missing; expected <bucket>/<key of a zip> or <bucket>/<prefix>/"]
    if source_type == "NO_SOURCE" and "\n" not in source.get("buildspec", ""):
        return ["source.buildspec: missing; a project without source has its buildspec inline"]
    return []


def _variable_problems(variables: Sequence[Mapping[str, str]]) -> list[str]:
    problems = []
    for variable in variables:
        name, variable_type = variable.get("name", ""), variable.get("type", "PLAINTEXT")
        if not _VARIABLE.fullmatch(name):
            problems.append(f"environment variable {name!r}: expected a name of letters, digits and underscores")
        if variable_type != "PLAINTEXT":
            problems.append(f"environment variable {name}: type {variable_type}; the local AWS has PLAINTEXT")
        if "value" not in variable:
            problems.append(f"environment variable {name}: no value")
    return problems


def _invalid(problems: Sequence[str]) -> ServiceError:
    return ServiceError("InvalidInputException", "; ".join(problems))
