"""Fault injection at the endpoint: requests are throttled, delayed, refused, or lose their connection."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from stepbridge_local.fault_injection.active_faults import FaultInjection
from stepbridge_local.fault_injection.requests import RequestEffect, RequestFaults
from stepbridge_local.http.api_call import ApiCall
from stepbridge_local.protocols import Scope
from stepbridge_local.services.moto.requests import call_of, send_error

__all__ = ["with_injected_faults"]


def with_injected_faults(application: WSGIApplication, fault_injection: FaultInjection) -> WSGIApplication:
    """The application with the faults that are set. If there are none, requests pass through unchanged."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        faults = fault_injection.on_requests
        if faults is None:
            return application(environ, start_response)
        return _faulty_answer(application, faults, environ, start_response)

    return answer


def _faulty_answer(
    application: WSGIApplication, faults: RequestFaults, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    call, _ = call_of(environ)
    effect = faults.effect_on(call.name, Scope(call.account_id, call.region))
    if effect.delay_seconds:
        time.sleep(effect.delay_seconds)
    if effect.error is None and not effect.is_dropped:
        return application(environ, start_response)
    if effect.is_carried_out:
        _carry_out(application, environ)
    return _end(call, effect, environ, start_response)


def _end(
    call: ApiCall, effect: RequestEffect, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    if effect.error is None:
        # To the server this looks like a client that went away, so it closes the connection without a response.
        raise ConnectionResetError(errno.ECONNRESET, f"{call.name}: dropped on demand")
    return send_error(call, effect.error, environ, start_response)


def _carry_out(application: WSGIApplication, environ: WSGIEnvironment) -> None:
    """Carry out the operation and drop its response."""
    chunks = application(environ, lambda _status, _headers, _error=None: lambda _data: None)
    for _ in chunks:
        pass
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
