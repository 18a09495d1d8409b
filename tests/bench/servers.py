"""The servers that are measured with, each in a process of its own: the local AWS, and moto's own server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

__all__ = ["REGION", "Server", "client_of", "local_aws", "memory_mb", "moto_server", "set_faults"]

REGION: Final = "us-east-1"
UP_SECONDS: Final = 90.0
DOWN_SECONDS: Final = 60.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_DOCKERFILE: Final = 'FROM python:3.11-slim\nENTRYPOINT ["python3"]\n'


@dataclass(frozen=True)
class Server:
    """A server that answers at ``url``."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time of the process so far, its ended children included, in user and kernel mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(fields[position]) for position in (11, 12, 13, 14)) / _TICKS


def memory_mb(pid: int) -> float:
    """The resident memory of a process in MB, shared pages included."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


@contextmanager
def local_aws(folder: Path) -> Iterator[Server]:
    """``stepbridge local up`` with nothing in it, in ``folder``, for as long as the block lasts."""
    image, data = folder / "scikit_learn", folder / "data"
    image.mkdir(parents=True)
    (image / "Dockerfile").write_text(_DOCKERFILE)
    command = [sys.executable, "-m", "stepbridge_local.cli.main", "up", "--port", "0", "--runtime", "process"]
    command += ["--data-dir", str(data), "--scikit-learn", str(image)]
    with _running(command, folder, lambda: _announced(data / "endpoint.json")) as server:
        yield server


@contextmanager
def moto_server(folder: Path) -> Iterator[Server]:
    """moto's own server with nothing in it, for as long as the block lasts."""
    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, folder, lambda: url if _answers(f"{url}/moto-api/data.json") else None) as server:
        yield server


@contextmanager
def _running(command: Sequence[str], folder: Path, url_when_up: Callable[[], str | None]) -> Iterator[Server]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AIRFLOW_"))}
    log = folder / "log.txt"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            deadline = time.monotonic() + UP_SECONDS
            while (url := url_when_up()) is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command} did not come up:\n{log.read_text()}")
                time.sleep(0.05)
            yield Server(url, process.pid)
        finally:
            process.terminate()
            process.wait(DOWN_SECONDS)


def _announced(file: Path) -> str | None:
    return str(json.loads(file.read_text())["url"]) if file.exists() else None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def set_faults(server: Server, faults: Sequence[dict[str, Any]]) -> None:
    """Let exactly these faults be set in a local AWS (local/docs/fault-injection.md)."""
    body = json.dumps([*faults]).encode()
    request = urllib.request.Request(
        f"{server.url}/_stepbridge/faults", body, {"Content-Type": "application/json"}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=30):
        return


def client_of(server: Server, service: str, region: str = REGION) -> Any:
    """A boto3 client in ``region``, patient with whatever is set."""
    return boto3.session.Session().client(  # type: ignore[call-overload]  # a name for each service
        service,
        endpoint_url=server.url,
        region_name=region,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"mode": "standard", "total_max_attempts": 10}, max_pool_connections=50),
    )
