"""A client of Airflow's public REST API, for what the local site and the demo need of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from stepbridge.errors import StepbridgeError


class AirflowError(StepbridgeError):
    """Airflow refused a request or did not come up."""


class AirflowClient:
    """The parts of Airflow's public REST API (``/api/v2``) that a run needs. Not thread safe.

    Raises AirflowError for every answer that is not a success, with the API's own explanation, and for none.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._user = user
        self._password = password
        self._http = httpx.Client(base_url=url, timeout=120.0)  # a busy machine answers late

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

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        answer = self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances") or {}
        return list(answer["task_instances"])

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
        try:
            if "Authorization" not in self._http.headers:
                self._http.headers["Authorization"] = f"Bearer {self._token()}"
            answer = self._http.request(method, path, json=body)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                self._http.headers["Authorization"] = f"Bearer {self._token()}"
                answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise AirflowError(f"{method} {self._url}{path}", f"no answer: {error}") from error
        if answer.status_code in accept:
            return None
        if answer.is_error:
            raise AirflowError(f"{method} {self._url}{path}", f"HTTP {answer.status_code}: {answer.text[:2000]}")
        return answer.json() if answer.content else None

    def _token(self) -> str:
        answer = self._http.post("/auth/token", json={"username": self._user, "password": self._password})
        if answer.is_error:
            raise AirflowError(f"POST {self._url}/auth/token", f"HTTP {answer.status_code}: {answer.text[:500]}")
        return str(answer.json()["access_token"])
