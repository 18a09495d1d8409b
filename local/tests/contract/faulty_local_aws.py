"""A local AWS whose jobs are scripted, to set faults in: started once a module, without faults again for each test."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.contract.stepfunctions.conftest import Lab

SCRIPTED = Path(__file__).parent / "stepfunctions" / "scripted_local_aws.py"


class FaultyLab(Lab):
    """The ``Lab`` of the Step Functions tests, with the admin API of faults. ``data_dir`` is its data folder."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self._log = folder / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(SCRIPTED), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        endpoint_url = self._process.stdout.readline().strip()
        assert endpoint_url, self._log.read_text()
        super().__init__(endpoint_url)

    def close(self) -> None:
        """End it; it must have had no error of its own."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0, self._log.read_text()
        assert "Traceback" not in self._log.read_text(), self._log.read_text()

    def faults(self, *faults: dict[str, Any]) -> list[dict[str, Any]]:
        """Let exactly these faults be set; the listing."""
        return self.admin("PUT", list(faults))

    def admin(self, method: str, body: Any = None) -> list[dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.endpoint_url}/_stepbridge/faults"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request) as answer:
            faults: list[dict[str, Any]] = json.load(answer)["faults"]
            return faults

    def impatient(self, service: str, region: str = "us-east-1", attempts: int = 1, **options: Any) -> Any:
        """A client that does not try again."""
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=region,
            endpoint_url=self.endpoint_url,
            config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}, read_timeout=20),
            **(keys | options),
        )
