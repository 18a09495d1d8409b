"""The local AWS: one process, one endpoint. This is its composition root."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from stepbridge_local.errors import ImageBuildError
from stepbridge_local.fault_injection import FAULTS_PATH, admin
from stepbridge_local.fault_injection.active_faults import FaultInjection
from stepbridge_local.fault_injection.faults import IamFault
from stepbridge_local.http.admission import Admission, admitted
from stepbridge_local.http.server import HttpServer
from stepbridge_local.pages.application import ADDRESSES as PAGE_ADDRESSES
from stepbridge_local.pages.application import PREFIX, Pages
from stepbridge_local.pages.objects import Download
from stepbridge_local.persistence.data_folder import DataFolder
from stepbridge_local.persistence.executions import RECORDS_FILE as EXECUTIONS_FILE
from stepbridge_local.persistence.executions import ExecutionRecords
from stepbridge_local.persistence.reserve import DiskReserve
from stepbridge_local.protocols import ContainerRuntime
from stepbridge_local.runtimes.selection import build_sandbox, open_containers, plain_containers
from stepbridge_local.services import installation
from stepbridge_local.services.codebuild.history import RECORDS_FILE as BUILDS_FILE
from stepbridge_local.services.codebuild.history import BuildHistory
from stepbridge_local.services.codebuild.run import BuildServices
from stepbridge_local.services.codebuild.service import BuildService
from stepbridge_local.services.ecr.moto.registry import MotoImageRegistry
from stepbridge_local.services.iam.moto.authorization import MotoDirectory, authorized
from stepbridge_local.services.iam.permissions import Permissions
from stepbridge_local.services.local_services import LocalServices
from stepbridge_local.services.logs.moto import MotoLogSink
from stepbridge_local.services.moto.application import MotoApplication
from stepbridge_local.services.moto.fault_injection import with_injected_faults
from stepbridge_local.services.moto.free_space import with_room
from stepbridge_local.services.moto.requests import read_body
from stepbridge_local.services.s3.moto.store import MotoObjectStore
from stepbridge_local.services.sagemaker.service import ProcessingService
from stepbridge_local.settings import LocalAwsSettings

__all__ = ["LocalAws", "own_addresses"]

_log = logging.getLogger(__name__)
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


class LocalAws:
    """The local AWS on 127.0.0.1, from ``start`` to ``stop``. One per process: moto's state is global.

    ``runtime`` replaces the one in the settings. ``services`` is set once it has started.
    """

    services: LocalServices

    def __init__(self, settings: LocalAwsSettings, runtime: ContainerRuntime | None = None) -> None:
        self._settings = settings
        self._runtime = runtime
        self._http = HttpServer(settings.port)
        self._cleanup = ExitStack()

    @property
    def endpoint_url(self) -> str:
        """Where it answers; complete only after ``start`` when the port was 0."""
        return self._http.url

    @property
    def runtime_name(self) -> str:
        """``process`` or ``docker``; once started."""
        return self.services.runtime.name

    def start(self) -> None:
        """Return once requests are answered.

        Raises DataFolderInUseError or PortInUseError, and leaves nothing behind.
        """
        with ExitStack() as cleanup:
            folder = DataFolder(self._settings.data_dir.resolve())
            folder.hold()
            cleanup.callback(folder.release)
            self._http.bind()
            cleanup.callback(self._http.stop)
            self.services = self._build(cleanup)
            application = MotoApplication(_Recorder(self.services))
            installation.install(self.services, application)
            cleanup.callback(self._http.stop)
            settings = self._settings
            admission = Admission(self._http.port, settings.allowed_hosts, settings.allowed_origins)
            self._http.serve(admitted(_routes(self.services, application), admission))
            folder.announce(self.endpoint_url)
            self._cleanup = cleanup.pop_all()

    def stop(self) -> None:
        """Stop the running jobs, write all data, and release folder and port. Idempotent."""
        self._cleanup.close()

    def _build(self, cleanup: ExitStack) -> LocalServices:
        settings = self._settings
        for folder in (settings.images_folder, settings.work_folder, settings.jobs_folder):
            folder.mkdir(parents=True, exist_ok=True)
        containers = (
            plain_containers(self._runtime, build_sandbox(settings, cleanup))
            if self._runtime
            # set later, because the registry builds with this runtime
            else open_containers(settings, lambda uri: registry.resolve(uri), cleanup)
        )
        runtime = containers.runtime
        reserve = DiskReserve(settings.data_dir.resolve() / "reserve")
        reserve.hold()
        store = MotoObjectStore(settings.s3_folder.resolve(), reserve)
        cleanup.callback(store.close)
        registry = MotoImageRegistry(
            settings.registry_folder.resolve(),
            runtime,
            settings.scikit_learn_folder,
            settings.base_image,
            containers.holder,
            reserve,
        )
        cleanup.callback(registry.close)
        logs = MotoLogSink(settings.work_folder)
        cleanup.callback(runtime.close)
        fault_injection = FaultInjection()
        if settings.enforce_iam:
            fault_injection.set([IamFault()])
        directory = MotoDirectory()
        permissions = Permissions(directory, lambda: fault_injection.enforces_iam)
        processing = ProcessingService(
            store,
            logs,
            registry,
            runtime,
            settings.jobs_folder.resolve(),
            settings.max_concurrent_jobs,
            fault_injection=fault_injection,
            permissions=permissions,
            reserve=reserve,
        )
        cleanup.callback(processing.stop_all)
        builds = BuildService(
            BuildServices(store, registry, containers.docker_commands, containers.sandbox),
            logs,
            permissions=permissions,
            history=BuildHistory(settings.data_dir.resolve() / "builds" / BUILDS_FILE, reserve),
        )
        cleanup.callback(builds.stop_all)
        executions_file = settings.data_dir.resolve() / "executions" / EXECUTIONS_FILE
        executions = ExecutionRecords(executions_file, datetime.now(UTC), reserve)
        cleanup.callback(executions.close)  # first, so that the executions do not end because their jobs are stopped
        return LocalServices(
            settings,
            self.endpoint_url,
            store,
            logs,
            registry,
            runtime,
            processing,
            builds,
            executions,
            fault_injection,
            directory,
            permissions,
            reserve,
        )


def _routes(services: LocalServices, moto: MotoApplication) -> WSGIApplication:
    """The local AWS's own paths, and AWS's APIs below all others."""
    room = with_room(moto, services.settings.data_dir.resolve(), services.reserve)
    aws = with_injected_faults(authorized(room, services.permissions, services.directory), services.fault_injection)
    pages = Pages(_clients(moto))

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = time.monotonic()
        path = environ["PATH_INFO"]
        route = _ROUTES.get((environ["REQUEST_METHOD"], path))
        if route is not None:
            answer = _send(start_response, *route(services))
        elif path.startswith(FAULTS_PATH):
            answer = _send(start_response, *_faults(services, environ))
        elif (path.startswith(PREFIX) or _is_of_a_person(environ)) and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            answer = _send_page(start_response, pages, environ)
        else:
            answer = aws(environ, start_response)
        if services.settings.verbose:
            _log.info(
                "%s %s %s %.0f ms",
                environ["REQUEST_METHOD"],
                environ["REQUEST_URI"],
                environ.get("HTTP_X_AMZ_TARGET", ""),
                (time.monotonic() - started) * 1000,
            )
        return answer

    return application


class _Recorder:
    """Writes what a request changed in S3 and ECR, before the client gets its answer."""

    def __init__(self, services: LocalServices) -> None:
        self._store = services.store
        self._registry = services.registry

    def __call__(self, environ: WSGIEnvironment) -> None:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or not self._store.is_flushed:
            self._store.flush()
        service = environ.get("HTTP_AUTHORIZATION", "")
        if "/ecr/" in service or "/cloudformation/" in service:
            self._registry.flush()


def _health(services: LocalServices) -> tuple[str, object]:
    return "200 OK", {
        "status": "ok",
        "pid": os.getpid(),
        "runtime": services.runtime.name,
        "version": version("stepbridge-local"),
        "data_dir": str(services.settings.data_dir.resolve()),
    }


def _faults(services: LocalServices, environ: WSGIEnvironment) -> tuple[str, object]:
    content_type = environ.get("CONTENT_TYPE", "")
    body = read_body(environ)
    return admin.answer(services.fault_injection, environ["REQUEST_METHOD"], environ["PATH_INFO"], content_type, body)


def _build_prebuilt_images(services: LocalServices) -> tuple[str, object]:
    lines: list[str] = []
    try:
        image_id = services.registry.build_prebuilt(lines.append)
    except ImageBuildError as error:
        return "500 Internal Server Error", {"message": str(error), "log": lines}
    return "200 OK", {"sagemaker-scikit-learn": image_id, "log": lines}


_ROUTES: Final[Mapping[tuple[str, str], Callable[[LocalServices], tuple[str, object]]]] = {
    ("GET", "/_stepbridge/health"): _health,
    ("POST", "/_stepbridge/prebuilt-images"): _build_prebuilt_images,
}


def own_addresses() -> Sequence[tuple[str, str]]:
    """Method and path of every address that is the local AWS's own; parts in angle brackets stand for any text."""
    return [*_ROUTES, *admin.ADDRESSES, *(("GET", PREFIX + address) for address in PAGE_ADDRESSES)]


def _clients(application: WSGIApplication) -> Callable[[str, str], Callable[[str], Any]]:
    """Clients within the process, created for the first page: botocore takes a while to import."""

    @cache
    def clients(account_id: str, region: str) -> Callable[[str], Any]:
        from stepbridge_local.services.moto.in_process_clients import in_process_clients

        return in_process_clients(application, account_id, region)

    return clients


def _is_of_a_person(environ: WSGIEnvironment) -> bool:
    """Whether a browser opens the address without a path. For other clients, that lists the buckets of S3."""
    asks_for_html = "text/html" in environ.get("HTTP_ACCEPT", "") and "HTTP_AUTHORIZATION" not in environ
    return environ["REQUEST_URI"] in ("/", PREFIX.rstrip("/")) and asks_for_html


def _send_page(start_response: StartResponse, pages: Pages, environ: WSGIEnvironment) -> Iterable[bytes]:
    path = environ["REQUEST_URI"].partition("?")[0]
    page = pages.page(PREFIX if _is_of_a_person(environ) else path, environ.get("QUERY_STRING", ""))
    if page is None:
        return _send(start_response, "404 Not Found", {"message": f"the local AWS has no page {path}"})
    if isinstance(page, Download):
        start_response("200 OK", page.headers())
        return page.chunks
    body = page.html.encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", _PAGE_POLICY),
    ]
    start_response(page.status, headers)
    return [body]


def _send(start_response: StartResponse, status: str, answer: object) -> Iterable[bytes]:
    body = json.dumps(answer).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
