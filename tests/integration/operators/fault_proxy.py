"""An endpoint before the local AWS that counts calls, and denies, throttles or loses the answers of chosen ones."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

DENIED = (
    "AccessDeniedException",
    "User: arn:aws:iam::123456789012:user/airflow is not authorized to perform: {service}:{operation} "
    "on resource: arn:aws:{service}:us-east-1:123456789012:any",
)
THROTTLED = ("ThrottlingException", "Rate exceeded")
NOT_REDRIVABLE = ("ExecutionNotRedrivable", "Execution is not redrivable")

# What becomes of a call: "pass" it on, "deny" or "throttle" it, or pass it on and "lose" the answer, or answer "stale":
# that the execution still runs.
FaultChoice = Callable[[str, int], str]


class FaultProxy:
    """Listens on a port of its own. ``fault`` gets the operation's name and how often it was called, from 1."""

    def __init__(self, target: str) -> None:
        self.calls: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.fault_for: FaultChoice = lambda _operation, _count: "pass"
        self.carried_out: Callable[[str, int], None] = lambda _operation, _count: None  # before the answer goes back
        self.not_redrivable: set[str] = set()  # ARNs
        self.names_started: list[str] = []  # as asked for, whatever became of it
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(target).netloc))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def choose_fault(self, operation: str, body: bytes) -> tuple[str, int]:
        """The fault on a call, and which call of its operation it is."""
        request = json.loads(body or b"{}")
        with self._lock:
            self.calls[operation] += 1
            count = self.calls[operation]
            if operation == "StartExecution":
                self.names_started.append(request["name"])
        fault = self.fault_for(operation, count)  # may take its time: other calls go on meanwhile
        dead = operation == "RedriveExecution" and request["executionArn"] in self.not_redrivable
        if dead and fault in ("pass", "lose"):
            fault = "refuse" if fault == "pass" else "drop"
        return fault, count

    @contextmanager
    def running(self) -> Iterator[FaultProxy]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def _handler(proxy: FaultProxy, target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if caller := re.search(r"\bapp/(\S+)", self.headers.get("User-Agent", "")):
                proxy.calls[f"{operation} by {caller[1]}"] += 1
            fault, count = proxy.choose_fault(operation, body)
            if fault == "deny":
                self._refuse(operation, *DENIED)
            elif fault == "throttle":
                self._refuse(operation, *THROTTLED)
            elif fault == "refuse":
                self._refuse(operation, *NOT_REDRIVABLE)
            elif fault == "drop":  # refused, and the refusal is lost
                self.close_connection = True
            else:
                self._pass_on(body, operation, count, fault)
            proxy.answered[operation] += 1

        def _pass_on(self, body: bytes, operation: str, count: int, fault: str) -> None:
            connection = http.client.HTTPConnection(target, timeout=60)
            connection.request("POST", self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            proxy.carried_out(operation, count)
            if fault == "lose":
                self.close_connection = True
                return
            if fault == "stale":
                content = json.dumps({**json.loads(content), "status": "RUNNING"}).encode()
            self._send(answer.status, content, answer.headers["Content-Type"] or "application/x-amz-json-1.0")

        def _refuse(self, operation: str, code: str, message: str) -> None:
            service = "sqs" if "AmazonSQS" in self.headers["X-Amz-Target"] else "states"
            document = {"__type": code, "message": message.format(service=service, operation=operation)}
            self._send(400, json.dumps(document).encode(), "application/x-amz-json-1.0")

        def _send(self, status: int, content: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """The calls are counted, not logged."""

    return Handler


def connection_through(proxy: FaultProxy, **elsewhere: Any) -> str:
    """``aws_default`` as JSON: through the proxy, without botocore's own retries; ``elsewhere`` adds to its extra."""
    extra = {
        "region_name": "us-east-1",
        "endpoint_url": proxy.url,
        "config_kwargs": {"retries": {"total_max_attempts": 1}},
        **elsewhere,
    }
    return json.dumps({"conn_type": "aws", "login": "local-key", "password": "local-secret-key", "extra": extra})


def states_through(proxy: FaultProxy, endpoint_url: str, service: str = "stepfunctions") -> str:
    """The same for one service alone; everything else goes straight to the local AWS."""
    service_config = {service: {"endpoint_url": proxy.url}}
    return connection_through(proxy, endpoint_url=endpoint_url, service_config=service_config)
