"""A real local AWS for tests, and clients of it.

moto's state belongs to its process, so every local AWS runs in a process of its own: ``LocalAwsProcess`` is one started
by the command; ``run_in_child`` runs a function that starts one itself, to reach into it.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config

Result = TypeVar("Result")

REGION = "us-east-1"
ACCOUNT = "123456789012"
STARTED_WITHIN_SECONDS = 60.0


@dataclass
class LocalAwsProcess:
    """``stepbridge local up`` on a data folder. ``client(service)`` makes a boto3 client of it."""

    data_dir: Path
    options: tuple[str, ...] = ()
    endpoint_url: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command("--port", "0"), stdout=log, stderr=log)
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while not self._announced():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        self.endpoint_url = json.loads((self.data_dir / "endpoint.json").read_text())["url"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=30)

    def restart(self, number: int = signal.SIGTERM) -> None:
        self.stop(number)
        self.start()

    def client(self, service: str, **options: Any) -> Any:
        return client_of(self.endpoint_url, service, **options)

    def command(self, *options: str) -> list[str]:
        command = [sys.executable, "-m", "stepbridge_local.cli.main", "up", "--data-dir", str(self.data_dir)]
        return [*command, *self.options, *options]

    @property
    def log(self) -> Path:
        return self.data_dir.parent / "local-aws.log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _announced(self) -> bool:
        try:
            announced: dict[str, Any] = json.loads((self.data_dir / "endpoint.json").read_text())
        except FileNotFoundError:
            return False
        return bool(announced["pid"] == self.pid)


def client_of(endpoint_url: str, service: str, **options: Any) -> Any:
    """A boto3 client with keys that are worth nothing, which does not try again."""
    config = Config(retries={"total_max_attempts": 1}).merge(options.pop("config", Config()))
    values: dict[str, Any] = {
        "endpoint_url": endpoint_url,
        "region_name": REGION,
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
        "config": config,
    }
    session: Any = boto3.session.Session()
    return session.client(service, **(values | options))


def run_in_child(function: Callable[..., Result], *arguments: Any) -> Result:
    """What the function returns in a fresh process; what it raises is raised here."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result(timeout=240)
