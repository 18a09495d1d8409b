"""A local AWS in a separate process, and clients for it."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from signal import SIGTERM
from typing import Any

import boto3
from botocore.config import Config

from stepbridge_local.testing.fork_server import start_child

__all__ = ["ACCOUNT", "REGION", "LocalAwsProcess", "client_of"]

REGION = "us-east-1"
ACCOUNT = "123456789012"
STARTED_WITHIN_SECONDS = 240.0

_client_lock = threading.Lock()  # sessions are not thread-safe


@dataclass
class LocalAwsProcess:
    """``stepbridge-local up`` with a data folder. ``client(service)`` returns a boto3 client for it."""

    data_dir: Path
    options: tuple[str, ...] = ()
    endpoint_url: str = ""
    _process: ForkServerProcess | None = field(default=None, repr=False)

    def start(self) -> None:
        """Returns when it answers. If it ends instead, fails with its log."""
        self.log.touch()
        self._process = start_child(_run_command, [*self._arguments(), "--port", "0"], log=self.log)
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while not self._announced():
            assert self._process.is_alive(), self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.005)
        self.endpoint_url = json.loads((self.data_dir / "endpoint.json").read_text())["url"]

    def stop(self, number: int = SIGTERM) -> int:
        """End it with a signal; its exit code."""
        os.kill(self.pid, number)
        assert self._process is not None
        self._process.join(120)
        assert self._process.exitcode is not None, self.log.read_text()
        return self._process.exitcode

    def restart(self, number: int = SIGTERM) -> None:
        self.stop(number)
        self.start()

    def client(self, service: str, **options: Any) -> Any:
        return client_of(self.endpoint_url, service, **options)

    def command(self, *options: str) -> list[str]:
        """The command line of another one on the same data folder."""
        return [sys.executable, "-m", "stepbridge_local.cli.main", *self._arguments(), *options]

    @property
    def log(self) -> Path:
        return self.data_dir.parent / "local-aws.log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def _arguments(self) -> list[str]:
        return ["up", "--data-dir", str(self.data_dir), *self.options]

    def _announced(self) -> bool:
        try:
            announced: dict[str, Any] = json.loads((self.data_dir / "endpoint.json").read_text())
        except FileNotFoundError:
            return False
        return bool(announced["pid"] == self.pid)


def client_of(endpoint_url: str, service: str, **options: Any) -> Any:
    """A boto3 client with dummy keys and without retries."""
    config = Config(retries={"total_max_attempts": 1}).merge(options.pop("config", Config()))
    values: dict[str, Any] = {
        "endpoint_url": endpoint_url,
        "region_name": REGION,
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
        "config": config,
    }
    with _client_lock:
        client: Any = _session().client(service, **(values | options))
    return client


@cache
def _session() -> Any:
    """A shared session. It reads a service model only once, which takes longer than most tests."""
    return boto3.session.Session()


def _run_command(arguments: list[str]) -> None:
    from stepbridge_local.cli.main import main

    sys.argv = ["stepbridge-local", *arguments]
    main()
