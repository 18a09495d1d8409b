"""moto as one WSGI application. A service is imported with its first request."""

from __future__ import annotations

import importlib.util
import logging
import sqlite3
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.core.base_backend import BaseBackend
from moto.core.common_models import BaseModel
from moto.core.config import default_user_config
from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    environ_key_for_header,
    should_preserve_original_header_name,
)
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from stepbridge_local.http.api_call import ApiCall
from stepbridge_local.http.errors import MalformedBodyError
from stepbridge_local.persistence.reserve import is_disk_full
from stepbridge_local.protocols import ServiceError
from stepbridge_local.services.moto.free_space import disk_full, needs_room, unrecorded
from stepbridge_local.services.moto.malformed import problem_of, refusal_by_model, unreadable
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.moto.requests import call_of, send_error
from stepbridge_local.services.operations import refusal
from stepbridge_local.services.s3.moto.calls import refusal_of_s3

__all__ = ["MotoApplication"]

_log = logging.getLogger(__name__)


class MotoApplication:
    """The WSGI application behind the endpoint. Operations that moto lacks get 501, because clients retry a 500.

    ``on_answer(environ)`` runs after each request, before its answer is sent. ``environ`` needs
    "stepbridge.header_names": the names of the request's headers as they were spelt.
    """

    def __init__(self, on_answer: Callable[[WSGIEnvironment], None]) -> None:
        replace(BaseModel, "__new__", _make_untracked)
        replace(BaseBackend, "_url_module", property(_urls_of_service))
        # Replaces moto.core.config.default_user_config["stepfunctions"]: off, executions succeed without running.
        default_user_config["stepfunctions"]["execute_state_machine"] = True
        default_user_config["core"]["passthrough"] = {"urls": [], "services": []}  # no calls of the real AWS
        self._dispatch = _Dispatcher(self._create_app)
        self._on_answer = on_answer
        self._before_first_request: dict[str, list[Callable[[], None]]] = {}

    def before_first_request(self, prepare: Callable[[], None], *services: str) -> None:
        """Run ``prepare`` once, before the first of moto's ``services`` (module names) answers its first request.

        For services that take long to import: CloudFormation's imports others for 2 seconds.
        """
        prepare_once = cache(prepare)
        for service in services:
            self._before_first_request.setdefault(service, []).append(prepare_once)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["RAW_URI"] = environ["REQUEST_URI"]  # Request.raw_path: keys with encoded slashes
        _preserve_header_names(environ)
        call, _ = call_of(environ)
        refused = refusal(call.service, call.operation)
        if environ["PATH_INFO"].startswith("/moto-api"):
            refused = ServiceError("NotFound", "moto's own API is not part of the local AWS", 404)
        refused = refused or unreadable(environ) or refusal_of_s3(environ, call) or refusal_by_model(environ, call)
        if refused is not None:
            return send_error(call, refused, environ, start_response)
        started: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
            started[:] = [status, headers]
            return _write_nothing

        try:
            answer = self._answer(call, environ, start)
        finally:
            unwritten = self._record(call, environ)
        if unwritten is not None:
            return send_error(call, unwritten, environ, start_response)
        start_response(*started)
        return answer

    def _answer(self, call: ApiCall, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """moto's answer, or an error instead of what moto raises. Raises OSError if the client is gone."""
        try:
            answer: Iterable[bytes] = self._dispatch(environ, start_response)
        except NotImplementedError as error:
            missing = ServiceError("NotImplemented", f"The local AWS cannot do this: {error}", 501)
            return send_error(call, missing, environ, start_response)
        except MalformedBodyError:
            raise
        except Exception as error:
            if is_disk_full(error):
                return send_error(call, disk_full(call.service), environ, start_response)
            if isinstance(error, OSError):
                raise
            if (problem := problem_of(environ)) is not None:
                return send_error(call, problem, environ, start_response)
            _log.exception("%s", call.name)
            message = f"{type(error).__name__}: {error}. This is an error of the local AWS; its log says where."
            return send_error(call, ServiceError("InternalFailure", message, 500), environ, start_response)
        return answer

    def _record(self, call: ApiCall, environ: WSGIEnvironment) -> ServiceError | None:
        """Write what the call changed. Returns the error if that does not fit on the disk, though the call needs it.

        What was deleted is written later: it needs no room, and must go on to make some.
        """
        try:
            self._on_answer(environ)
        except (OSError, sqlite3.Error) as error:
            if not is_disk_full(error):
                raise
            _log.warning("%s: its change is written when the disk has room: %s", call.name, error)
            return unrecorded(call.service) if needs_room(call) else None
        return None

    def _create_app(self, service: Any) -> Any:
        """Replaces the ``create_app`` that moto_server passes to DomainDispatcherApplication."""
        for prepare in self._before_first_request.pop(service, []):
            prepare()
        app = create_backend_app(service)
        app.debug = False  # moto turns on Flask's debug mode, which raises all errors again and keeps their tracebacks
        app.config["PROPAGATE_EXCEPTIONS"] = True
        return app


class _Dispatcher(DomainDispatcherApplication):
    """moto's dispatcher. moto's own takes a third of its time to list folders for each request, to find the service."""

    def __init__(self, create_app: Callable[[Any], Any]) -> None:
        super().__init__(create_app)
        self._services: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """Replaces DomainDispatcherApplication.get_backend_for_host: found once per host."""
        if host not in self._services:
            self._services[host] = super().get_backend_for_host(host)
        return self._services[host]


def _write_nothing(_data: bytes) -> None:
    raise NotImplementedError("answers are returned, not written")


def _make_untracked(cls: type, *_arguments: object, **_keywords: object) -> object:
    """Replaces BaseModel.__new__, which keeps all instances of all models alive for moto's dashboard."""
    return object.__new__(cls)


def _urls_of_service(backend: BaseBackend) -> Any:
    """Replaces BaseBackend._url_module, which finds no ``urls`` for backend classes of ours or of a subpackage."""
    package = next(cls.__module__ for cls in type(backend).__mro__ if cls.__module__.startswith("moto."))
    while package := package.rpartition(".")[0]:
        if importlib.util.find_spec(f"{package}.urls"):
            return importlib.import_module(f"{package}.urls")
    raise LookupError(f"{type(backend)}: no module with its URLs")


def _preserve_header_names(environ: WSGIEnvironment) -> None:
    """Does for any WSGI server what MotoRequestHandler.make_environ does for werkzeug's.

    S3 metadata keys may contain underscores, which WSGI's spelling does not distinguish from dashes.
    """
    names: Iterable[str] = environ["stepbridge.header_names"]
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = {
        environ_key_for_header(name): name for name in names if should_preserve_original_header_name(name)
    }
