"""A real Airflow under a project-local AIRFLOW_HOME: its environment, its components, and a client of its REST API."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from stepbridge.cli.processes import ProcessTree
from stepbridge.errors import StepbridgeError

__all__ = ["AirflowClient", "AirflowError", "AirflowSite", "airflow_environment"]

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "api-server": ("api-server",),
}
"""Subcommands of ``airflow`` that together are one Airflow. Their log servers listen on every interface, and nobody
needs them where all components share one disk."""

_HOST_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "USER",
    "LOGNAME",
)


class AirflowError(StepbridgeError):
    """Airflow refused a request or did not come up."""


@dataclass(frozen=True)
class AirflowSite:
    """Where an Airflow lives: the project it serves, its home, its port, and the AWS that it talks to."""

    project: Path
    home: Path
    port: int
    aws_endpoint_url: str
    region: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def user(self) -> str:
        return "admin"

    def password(self) -> str:
        """The password of ``user``, made on first use and kept in the home with mode 600."""
        return _kept_secret(self.home / "password", 12)

    def environment(self) -> dict[str, str]:
        """The environment of every Airflow component and command of this site."""
        self.home.mkdir(parents=True, exist_ok=True)
        passwords = self.home / "passwords.json"
        _write_private(passwords, json.dumps({self.user: self.password()}))
        return airflow_environment(os.environ) | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.project / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.project / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.user}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": _kept_secret(self.home / "secret_key", 32),
            "AIRFLOW__API_AUTH__JWT_SECRET": _kept_secret(self.home / "jwt_secret", 64),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            # A worker can notice the end of its task this late; the default of 5 s would show in every hop.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW_CONN_AWS_DEFAULT": self._aws_connection(),
        }

    def _aws_connection(self) -> str:
        """The connection ``aws_default`` for the local AWS, which takes any key; the keys only have to be there."""
        extra = {"region_name": self.region, "endpoint_url": self.aws_endpoint_url}
        return json.dumps({"conn_type": "aws", "login": "local", "password": "local", "extra": extra})

    def migrate_database(self, tree: ProcessTree, environment: Mapping[str, str]) -> None:
        """Create or migrate the metadata database; returns when done. Raises ChildDied with the end of its output."""
        tree.run("airflow-db", _airflow("db", "migrate"), environment, self.project)

    def start(self, tree: ProcessTree, environment: Mapping[str, str]) -> None:
        """Start the scheduler, the DAG processor, the triggerer and the API server."""
        for name, arguments in COMPONENTS.items():
            tree.start(f"airflow-{name}", _airflow(*arguments), environment, self.project)


def airflow_environment(host: Mapping[str, str]) -> dict[str, str]:
    """The few variables of the host that Airflow's components get: none of its AWS ones, none of another Airflow's."""
    return {name: host[name] for name in _HOST_VARIABLES if name in host}


def _airflow(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def _kept_secret(file: Path, size_bytes: int) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_private(file, secrets.token_urlsafe(size_bytes))
    return file.read_text()


def _write_private(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)


class AirflowClient:
    """The parts of Airflow's public REST API (``/api/v2``) that a run needs. Not thread safe.

    Raises AirflowError for every answer that is not a success, with the API's own explanation.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._user = user
        self._password = password
        self._http = httpx.Client(base_url=url, timeout=30.0)

    def close(self) -> None:
        self._http.close()

    def unhealthy_components(self) -> list[str]:
        """The components that do not report a heartbeat; all of them while the API server does not answer."""
        try:
            answer = self._http.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return ["api-server", "metadatabase", "scheduler", "triggerer", "dag_processor"]
        if answer.status_code != httpx.codes.OK:
            return ["api-server"]
        health: dict[str, dict[str, Any]] = answer.json()
        return [name for name, state in health.items() if state.get("status") != "healthy"]

    def set_variable(self, key: str, value: str, description: str) -> None:
        """Create or replace an Airflow Variable."""
        body = {"key": key, "value": value, "description": description}
        if self._send("GET", f"/api/v2/variables/{key}", accept=(404,)) is None:
            self._send("POST", "/api/v2/variables", body)
        else:
            self._send("PATCH", f"/api/v2/variables/{key}", body)

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """The DAG's description, or None while the DAG processor has not stored it."""
        return self._send("GET", f"/api/v2/dags/{dag_id}", accept=(404,))

    def import_errors(self) -> list[str]:
        answer = self._send("GET", "/api/v2/importErrors")
        return [f"{error['filename']}: {error['stack_trace']}" for error in (answer or {})["import_errors"]]

    def unpause(self, dag_id: str) -> None:
        self._send("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, run_id: str, logical_date: str, conf: Mapping[str, Any] | None = None) -> None:
        """Trigger a run; ``conf`` holds params as in the trigger form, ``logical_date`` is ISO 8601."""
        body = {"dag_run_id": run_id, "logical_date": logical_date, "conf": dict(conf or {})}
        self._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)

    def dag_run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}") or {}

    def dag_runs(self, dag_id: str, **filters: str) -> list[dict[str, Any]]:
        answer = self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns?" + str(httpx.QueryParams(filters))) or {}
        runs: list[dict[str, Any]] = answer["dag_runs"]
        return runs

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        answer = self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances") or {}
        instances: list[dict[str, Any]] = answer["task_instances"]
        return instances

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """The XCom's value, deserialised; None while there is none."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        answer = self._send("GET", path + "?deserialize=false&stringify=false", accept=(404,))
        return None if answer is None else answer["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> Iterator[str]:
        """The lines of one try's log."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}?full_content=true"
        answer = self._send("GET", path) or {}
        for entry in answer.get("content", []):
            yield str(entry.get("event", ""))
            for error in entry.get("error_detail") or []:
                yield f"{error['exc_type']}: {error['exc_value']}"

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, accept: tuple[int, ...] = ()
    ) -> dict[str, Any] | None:
        if "Authorization" not in self._http.headers:
            self._http.headers["Authorization"] = f"Bearer {self._token()}"
        answer = self._http.request(method, path, json=body)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._http.headers["Authorization"] = f"Bearer {self._token()}"
            answer = self._http.request(method, path, json=body)
        if answer.status_code in accept:
            return None
        if answer.is_error:
            raise AirflowError(f"{method} {self._url}{path}", f"HTTP {answer.status_code}: {answer.text[:2000]}")
        return answer.json() if answer.content else None

    def _token(self) -> str:
        answer = self._http.post("/auth/token", json={"username": self._user, "password": self._password})
        if answer.is_error:
            raise AirflowError(f"POST {self._url}/auth/token", f"HTTP {answer.status_code}: {answer.text[:500]}")
        token: str = answer.json()["access_token"]
        return token
