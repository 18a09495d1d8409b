"""Decides from a request's headers whether the local AWS answers it, before anything else is parsed.

The local AWS has no real credentials to check, so every program on the machine may use it. Web pages may not, although
a browser would send their requests to loopback too. Three headers identify them, and a page cannot forge any of them
(https://developer.mozilla.org/en-US/docs/Glossary/Forbidden_request_header):

* ``Host`` is the name by which the client reached the server. A page whose own name resolves to loopback (DNS
  rebinding) sends that name.
* ``Origin`` is sent with every request of a script and with every form post, and names the page's origin.
* ``Sec-Fetch-Site`` says how the page is related to the server, also for images, links and other plain GETs.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Admission", "Refusal", "admitted"]

_AWS_SERVICE_HOST: Final = re.compile(
    r"([a-z0-9][a-z0-9.-]*\.)?"  # a bucket, an account
    r"(s3|s3-[a-z0-9-]+|sts|iam|states|sync-states|api\.ecr|dkr\.ecr|ecr|codebuild|cloudformation|logs|events|sqs|sns"
    r"|sagemaker|api\.sagemaker|monitoring)(-fips)?(\.dualstack)?(\.[a-z]{2}(-[a-z]+)+-\d)?"
    r"\.(amazonaws\.com(\.cn)?|api\.aws|api\.amazonwebservices\.com\.cn)"
)
"""AWS's host names for the services of the local AWS. No page can make one of them resolve to loopback."""

_CORS_HEADER: Final = "access-control-"
_PAGES: Final = "/_stepbridge/"


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered: an HTTP status and AWS's error shape."""

    status: str
    code: str
    message: str


@dataclass(frozen=True)
class Admission:
    """The rules. ``port`` is the server's. ``hosts`` and ``origins`` are other names and origins to trust.

    ``hosts`` are host names without a port; ``origins`` look like ``http://127.0.0.1:3000``.
    """

    port: int
    hosts: Collection[str] = field(default_factory=frozenset)
    origins: Collection[str] = field(default_factory=frozenset)

    @property
    def own_origin(self) -> str:
        """The endpoint as an origin."""
        return f"http://127.0.0.1:{self.port}"

    def refusal(self, environ: WSGIEnvironment) -> Refusal | None:
        """Why the request is refused; None if it is admitted."""
        host = environ.get("HTTP_HOST", "")
        if not self._knows_host(host):
            return Refusal(
                "403 Forbidden",
                "AccessDeniedException",
                f"Host: found {host!r}; expected this machine's loopback, localhost or an AWS service's name; "
                "a client that reaches the local AWS by another name needs --allow-host NAME at its start",
            )
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin != self.own_origin and origin not in self.origins:
            return Refusal(
                "403 Forbidden",
                "AccessDeniedException",
                f"Origin: found {origin!r}; expected {self.own_origin}; web pages of other origins may not use the "
                "local AWS; one that shall needs --allow-origin ORIGIN at its start",
            )
        return self._refusal_by_site(environ, origin)

    def _refusal_by_site(self, environ: WSGIEnvironment, origin: str | None) -> Refusal | None:
        """A request without an Origin can still come from a page of another site: from an image, a link or a frame."""
        site = environ.get("HTTP_SEC_FETCH_SITE", "none")
        if site in ("none", "same-origin") or (origin is not None and origin in self.origins):
            return None
        if site == "same-site" and _opens_page(environ):
            return None  # a link from another server on this machine, such as Airflow's UI
        return Refusal(
            "403 Forbidden",
            "AccessDeniedException",
            f"Sec-Fetch-Site: found {site!r}; expected a request of the local AWS's own pages or an address typed by "
            "a person; paste the address into the browser's address bar to open it",
        )

    def _knows_host(self, host: str) -> bool:
        name = re.sub(r":\d*\Z", "", host).lower().rstrip(".").removeprefix("sync-")  # clients of Step Functions add it
        if name == "localhost" or name.endswith(".localhost") or name in self.hosts:
            return True
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return _AWS_SERVICE_HOST.fullmatch(name) is not None

    def cors_headers(self, environ: WSGIEnvironment) -> list[tuple[str, str]]:
        """The CORS headers of a response: none, unless the user has allowed the page's origin."""
        origin = environ.get("HTTP_ORIGIN", "")
        if origin not in self.origins:
            return []
        headers = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "*")
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE"),
            ("Access-Control-Allow-Headers", headers),
            ("Access-Control-Expose-Headers", "ETag, x-amz-request-id, x-amzn-RequestId, x-amz-version-id"),
            ("Vary", "Origin"),
        ]


def admitted(application: WSGIApplication, admission: Admission) -> WSGIApplication:
    """``application`` for admitted requests. It refuses the others itself."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = admission.refusal(environ)
        if refusal is not None:
            return _refuse(refusal, start_response)
        cors = admission.cors_headers(environ)
        if cors and environ["REQUEST_METHOD"] == "OPTIONS":
            start_response("204 No Content", cors)
            return []
        isolate = not environ["PATH_INFO"].startswith(_PAGES)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept = [header for header in headers if not header[0].lower().startswith(_CORS_HEADER)]
            if isolate and not any(name.lower() == "content-security-policy" for name, _ in kept):
                kept.append(("Content-Security-Policy", "sandbox"))  # a stored HTML object is not one of our pages
            return start_response(status, kept + cors, exc_info)

        return application(environ, start)

    return guarded


def _opens_page(environ: WSGIEnvironment) -> bool:
    is_navigation = environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
    return is_navigation and environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].startswith(_PAGES)


def _refuse(refusal: Refusal, start_response: StartResponse) -> Iterable[bytes]:
    body = json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("x-amzn-errortype", refusal.code),
        ("Connection", "close"),  # its body is not read
    ]
    start_response(refusal.status, headers)
    return [body]
