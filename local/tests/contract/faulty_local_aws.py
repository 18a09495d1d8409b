"""A local AWS whose jobs are scripted, to set faults in: started once a module, without faults again for each test."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from stepbridge_local.testing.scripted_jobs import ScriptedLocalAws
from tests.contract.stepfunctions.conftest import ScriptedAws


class FaultyAws(ScriptedAws):
    """A ``ScriptedAws`` with the admin API of faults; ``data_dir`` is its data folder."""

    def __init__(self, folder: Path) -> None:
        self._server = ScriptedLocalAws(folder)
        self.data_dir = self._server.data_dir
        super().__init__(self._server.endpoint_url)

    def close(self) -> None:
        """End it; it must have had no error of its own."""
        self._server.close()

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
