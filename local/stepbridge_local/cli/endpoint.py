"""Finds the local AWS for a command: the options that name it, and its address."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from stepbridge_local.errors import ConfigurationError, LocalAwsError

__all__ = ["DataDir", "EndpointUrl", "endpoint_of", "health_of", "request_json", "wait_until_up"]

DataDir = Annotated[Path, typer.Option(help="The data folder of the local AWS, which has its address.")]
EndpointUrl = Annotated[
    str | None, typer.Option(help="The address of the local AWS, instead of --data-dir: http://127.0.0.1:4566")
]

_TIMEOUT_SECONDS: Final = 30.0
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach this machine


def endpoint_of(data_dir: Path, endpoint_url: str | None) -> str:
    """``endpoint_url``, or the address of the local AWS that uses the folder. Raises ConfigurationError."""
    from stepbridge_local.persistence.inspection import holder_of

    if endpoint_url is not None:
        return endpoint_url.rstrip("/")
    holder = holder_of(data_dir)
    if holder is None:
        remedy = "start one with `stepbridge-local up`, or name its folder (--data-dir) or address (--endpoint-url)"
        raise ConfigurationError(str(data_dir), "no local AWS runs on this folder", "", remedy)
    return holder.url


def health_of(url: str) -> dict[str, Any]:
    """The health document of the local AWS. Raises LocalAwsError if none answers there."""
    health: dict[str, Any] = request_json("GET", url, "/_stepbridge/health")
    if "data_dir" not in health:
        raise _no_answer(url, "something else answers")
    return health


def wait_until_up(url: str, log_file: Path, check: Callable[[], None] = lambda: None, seconds: float = 60) -> None:
    """Return once a local AWS answers at ``url``; ``check`` is called before each request and may raise to give up.

    Raises LocalAwsError, which names ``log_file``, when it does not answer within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        check()
        try:
            health_of(url)
            return
        except LocalAwsError:
            if time.monotonic() > deadline:
                found = f"does not answer on {url} after {seconds:.0f} s"
                raise LocalAwsError("local AWS", found, "", f"see {log_file}") from None
            time.sleep(0.05)


def request_json(
    method: str, url: str, path: str, body: Any = None, timeout_seconds: float = _TIMEOUT_SECONDS
) -> dict[str, Any]:
    """The JSON object that the local AWS at ``url`` answers.

    Raises ConfigurationError for a request that it refuses, LocalAwsError if no local AWS answers.
    """
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(
            url.rstrip("/") + path, data, {"Content-Type": "application/json"}, method=method
        )
        with _OPENER.open(request, timeout=timeout_seconds) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as refusal:
        raise ConfigurationError(url + path, _message(refusal)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _no_answer(url, str(error)) from error
    if not isinstance(answer, dict):
        raise _no_answer(url, "something else answers")
    return answer


def _no_answer(url: str, reason: str) -> LocalAwsError:
    remedy = "start it with `stepbridge-local up`, or name it with --endpoint-url"
    return LocalAwsError(url, f"no answer of a local AWS: {reason}", "", remedy)


def _message(refusal: urllib.error.HTTPError) -> str:
    text = refusal.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {refusal.code}: {text[:200]}"
