"""CodeBuild: projects and builds of all accounts and regions."""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from stepbridge_local.partitions import partition
from stepbridge_local.protocols import LogSink, Scope, ServiceError
from stepbridge_local.services.codebuild.history import BuildHistory
from stepbridge_local.services.codebuild.new_build import codebuild_arn, codebuild_environment, new_record
from stepbridge_local.services.codebuild.record import BuildRecord
from stepbridge_local.services.codebuild.requests import (
    DEFAULT_TIMEOUT_MINUTES,
    checked_project,
    plain_variables,
)
from stepbridge_local.services.codebuild.role import as_role
from stepbridge_local.services.codebuild.run import BuildPlan, BuildRun, BuildServices
from stepbridge_local.services.iam.decision import Need
from stepbridge_local.services.iam.permissions import UNENFORCED, AssumedRole, Permissions, RoleNotAssumableError
from stepbridge_local.services.iam.role_access import RoleLogs, log_stream_needs

__all__ = ["BuildService"]

SAME_TOKEN_FOR: Final = timedelta(minutes=5)
STOPPING_SECONDS: Final = 10.0


@dataclass
class _Build:
    scope: Scope
    record: BuildRecord
    run: BuildRun | None  # None for one that ended before the restart
    thread: threading.Thread | None = None
    denial: str = ""  # why it cannot begin: it is not allowed to write its log


@dataclass
class _Region:
    """What one account has in one region. ``builds`` are in the order of their starts."""

    projects: dict[str, dict[str, Any]] = field(default_factory=dict)
    builds: dict[str, _Build] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    tokens: dict[tuple[str, str], tuple[datetime, str]] = field(default_factory=dict)


class BuildService:
    """The operations on projects and builds: AWS's JSON shapes with datetimes for times; errors are ServiceErrors.

    At most ``max_concurrent_builds`` builds run at once; others stay QUEUED. The builds in ``history`` exist from the
    start. Those that were running when it was last written are FAILED.
    """

    def __init__(
        self,
        services: BuildServices,
        logs: LogSink,
        max_concurrent_builds: int | None = None,
        *,
        permissions: Permissions = UNENFORCED,
        history: BuildHistory | None = None,
    ) -> None:
        self._permissions = permissions
        self._services = services
        self._logs = logs
        self._regions: dict[Scope, _Region] = {}
        self._lock = threading.RLock()
        self._slots = threading.BoundedSemaphore(max_concurrent_builds or max(2, os.cpu_count() or 1))
        self._history = history
        for scope, record in history.load(datetime.now(UTC)) if history else ():
            region, fixed = self._region(scope), record.fixed
            region.builds[fixed["id"]] = _Build(scope, record, None)
            region.numbers[fixed["projectName"]] = fixed["buildNumber"]

    # --- projects -----------------------------------------------------------------------------------------------------
    def create_project(self, scope: Scope, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateProject. Raises InvalidInputException or ResourceAlreadyExistsException."""
        project = checked_project(request)
        name = project["name"]
        with self._lock:
            region = self._region(scope)
            arn = codebuild_arn(scope, f"project/{name}")
            if name in region.projects:
                raise ServiceError("ResourceAlreadyExistsException", f"Project already exists: {arn}")
            now = datetime.now(UTC)
            region.projects[name] = {
                "arn": arn,
                "encryptionKey": f"arn:{partition(scope.region)}:kms:{scope.region}:{scope.account_id}:alias/aws/s3",
                "timeoutInMinutes": DEFAULT_TIMEOUT_MINUTES,
                "queuedTimeoutInMinutes": 480,
                "cache": {"type": "NO_CACHE"},
                "badge": {"badgeEnabled": False},
                "tags": [],
                **project,
                "created": now,
                "lastModified": now,
            }
            return copy.deepcopy(region.projects[name])

    def update_project(self, scope: Scope, request: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateProject: members that are given replace those of the project. Raises ResourceNotFoundException."""
        with self._lock:
            project = self._project(scope, request["name"])
            changed = checked_project({**project, **request})
            project |= {**changed, "lastModified": datetime.now(UTC)}
            return copy.deepcopy(project)

    def delete_project(self, scope: Scope, name: str) -> None:
        """DeleteProject; nothing happens when there is none. Builds stay."""
        with self._lock:
            self._region(scope).projects.pop(name, None)

    def projects(self, scope: Scope, names: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
        """BatchGetProjects by names or ARNs: those found, and the names not found."""
        with self._lock:
            projects = self._region(scope).projects
            by_name = {name: projects.get(name.rpartition(":project/")[2]) for name in names}
            found = [copy.deepcopy(project) for project in by_name.values() if project is not None]
            return found, [name for name, project in by_name.items() if project is None]

    def project_names(self, scope: Scope) -> list[str]:
        """ListProjects."""
        with self._lock:
            return sorted(self._region(scope).projects)

    # --- builds -------------------------------------------------------------------------------------------------------
    def start(self, scope: Scope, request: Mapping[str, Any]) -> dict[str, Any]:
        """StartBuild. Raises ResourceNotFoundException or InvalidInputException."""
        with self._lock:
            project = self._project(scope, request.get("projectName", ""), "Project cannot be found: ")
            region = self._region(scope)
            token = (project["name"], str(request.get("idempotencyToken")))
            started_at, known = region.tokens.get(token, (datetime.min.replace(tzinfo=UTC), ""))
            if "idempotencyToken" in request and datetime.now(UTC) - started_at < SAME_TOKEN_FOR:
                return region.builds[known].record.described()
            number = region.numbers[project["name"]] = region.numbers.get(project["name"], 0) + 1
            build = self._new_build(scope, project, request, number)
            build_id = build.record.fixed["id"]
            region.builds[build_id] = build
            if "idempotencyToken" in request:
                region.tokens[token] = (datetime.now(UTC), build_id)
        self._write_record(build)
        build.thread = threading.Thread(target=self._run_build, args=(build,), name=build_id, daemon=True)
        build.thread.start()
        return build.record.described()

    def builds(self, scope: Scope, ids: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
        """BatchGetBuilds by ids or ARNs: those found, and the ids not found."""
        with self._lock:
            builds = self._region(scope).builds
            by_id = {one: builds.get(one.rpartition(":build/")[2] or one) for one in ids}
        found = [build.record.described() for build in by_id.values() if build is not None]
        return found, [one for one, build in by_id.items() if build is None]

    def build_ids(self, scope: Scope, project: str | None = None, ascending: bool = False) -> list[str]:
        """ListBuilds, or ListBuildsForProject: newest first unless ``ascending``. Raises ResourceNotFoundException."""
        with self._lock:
            if project is not None:
                self._project(scope, project)
            builds = self._region(scope).builds
            ids = [one for one, build in builds.items() if project in (None, build.record.fixed["projectName"])]
        return ids if ascending else ids[::-1]

    def stop(self, scope: Scope, build_id: str) -> dict[str, Any]:
        """StopBuild; nothing happens to a build that has ended. Raises ResourceNotFoundException."""
        with self._lock:
            build = self._region(scope).builds.get(build_id.rpartition(":build/")[2] or build_id)
        if build is None:
            raise ServiceError("ResourceNotFoundException", f"Build cannot be found: {build_id}")
        if build.run is not None and not build.record.ended:
            build.run.stop()
            if build.thread is not None:
                build.thread.join(STOPPING_SECONDS)
        return build.record.described()

    def stop_all(self) -> None:
        """Kill the running builds, and return when they have ended, after some seconds at most. Idempotent."""
        with self._lock:
            builds = [build for region in self._regions.values() for build in region.builds.values()]
        running = [build for build in builds if build.run is not None and not build.record.ended]
        for build in running:
            if build.run is not None:
                build.run.stop()
        deadline = time.monotonic() + STOPPING_SECONDS
        for build in running:
            if build.thread is not None:
                build.thread.join(max(0.0, deadline - time.monotonic()))

    def _run_build(self, build: _Build) -> None:
        with self._slots:
            if build.denial:
                build.record.finish("FAILED", datetime.now(UTC), ("ACCESS_DENIED", build.denial))
                build.record.end("FAILED", datetime.now(UTC))
            elif build.run is not None:
                build.record.finish("SUCCEEDED", datetime.now(UTC))
                build.run.run()
        self._write_record(build)

    def _write_record(self, build: _Build) -> None:
        if self._history is not None:
            self._history.keep(build.scope, build.record)

    def _new_build(self, scope: Scope, project: Mapping[str, Any], request: Mapping[str, Any], number: int) -> _Build:
        record = new_record(scope, project, request, number)
        fixed = record.fixed
        source = fixed["source"]
        plan = BuildPlan(
            scope=scope,
            source_type=source["type"],
            source_location=source.get("location", ""),
            buildspec=source.get("buildspec", ""),
            environment=plain_variables(fixed["environment"].get("environmentVariables", [])),
            codebuild_environment=codebuild_environment(scope, fixed),
            timeout_seconds=fixed["timeoutInMinutes"] * 60,
        )
        group, stream = fixed["logs"].get("groupName"), fixed["logs"].get("streamName")

        def write_log(line: str) -> None:
            if group and stream:
                logs.write(scope, group, stream, [line])

        role = self._role(scope, project, fixed)
        logs = RoleLogs(self._logs, role)
        services = as_role(self._services, role)
        build = _Build(scope, record, BuildRun(plan, record, services, write_log))
        if group and stream:
            build.denial = _log_denial(role, log_stream_needs(scope, group, stream), fixed)
        return build

    def _role(self, scope: Scope, project: Mapping[str, Any], fixed: Mapping[str, Any]) -> AssumedRole:
        """CodeBuild in the build's service role. Raises InvalidInputException for one that it cannot use."""
        session = f"AWSCodeBuild-{fixed['id'].rpartition(':')[2]}"
        role_arn = fixed["serviceRole"]
        try:
            return self._permissions.assume_role("codebuild.amazonaws.com", role_arn, session, project["arn"], scope)
        except RoleNotAssumableError:
            message = f"CodeBuild is not authorized to perform: sts:AssumeRole on {role_arn}"
            raise ServiceError("InvalidInputException", message) from None

    def _region(self, scope: Scope) -> _Region:
        return self._regions.setdefault(scope, _Region())

    def _project(self, scope: Scope, name: str, text: str = "The provided project does not exist: ") -> dict[str, Any]:
        project = self._region(scope).projects.get(name.rpartition(":project/")[2] or name)
        if project is None:
            raise ServiceError("ResourceNotFoundException", text + codebuild_arn(scope, f"project/{name}"))
        return project


def _log_denial(role: AssumedRole, needs: Sequence[Need], fixed: Mapping[str, Any]) -> str:
    try:
        role.require(needs)
    except ServiceError as error:
        return (
            f"Service role {role.role_arn} does not allow AWS CodeBuild to create Amazon CloudWatch Logs log streams "
            f"for build {fixed['arn']}. Error message: {error.message}"
        )
    return ""
