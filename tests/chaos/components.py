"""An Airflow whose components may die at any time: whatever ends is started again, as systemd or Kubernetes would."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.airflow_site import COMPONENTS, AirflowSite
from stepbridge.cli.local_site.local_aws import REGION, local_session
from stepbridge.core.deployment import Deployment
from stepbridge.deployment import StackDeployer
from stepbridge_local.processes import Child, ProcessTree
from stepbridge_local.testing import LocalAwsProcess

READY_SECONDS = 240
WORKER_TITLE = "airflow worker -- LocalExecutor"

# What decides how soon a death is noticed; the defaults are minutes.
SETTINGS: Mapping[str, str] = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "3",
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
}


@dataclass
class Components:
    """Airflow's components around one project, and the local AWS beside them."""

    project: Path
    tree: ProcessTree
    deployment: Deployment
    site: AirflowSite
    _children: dict[str, Child] = field(default_factory=dict)
    _environment: dict[str, str] = field(default_factory=dict)
    _orphans: set[int] = field(default_factory=set)
    deaths: int = 0

    def migrate(self) -> None:
        """Make the database; no component runs yet."""
        self._environment = self.site.environment() | dict(SETTINGS)
        self.site.migrate_database(self.tree, self._environment)

    def start(self) -> None:
        """Returns once every component is healthy."""
        for name in COMPONENTS:
            self._start(name)
        client = self.client()
        deadline = time.monotonic() + READY_SECONDS
        while missing := client.unhealthy_components():
            assert time.monotonic() < deadline, f"not healthy: {missing}"
            time.sleep(0.3)
        client.close()

    def client(self) -> AirflowClient:
        return AirflowClient(self.site.url, self.site.user, self.site.password())

    def revive(self) -> None:
        """Start again whatever has ended. To be called often, in the main thread."""
        self._reap()
        for name, child in self._children.items():
            if child.process.poll() is not None:
                self.deaths += 1
                self._start(name)
                return

    def airflow(self, *arguments: str) -> None:
        """Run a command of Airflow's to its end."""
        self.tree.run("airflow-command", [sys.executable, "-m", "airflow", *arguments], self._environment, self.project)

    def pid(self, name: str) -> int:
        return self._children[name].process.pid

    def kill(self, name: str) -> None:
        """SIGKILL the component's own process; what it started is orphaned, and goes on for as long as it is busy."""
        self._orphans |= set(below(self.pid(name)))
        os.kill(self.pid(name), signal.SIGKILL)

    def _reap(self) -> None:
        """End the orphans that are idle: they would wait for ever for tasks from the dead."""
        for pid in list(self._orphans):
            title = command_of(pid)
            if not title or "<idle>" in title:
                self._orphans.discard(pid)
                if title:
                    _kill(pid)

    def kill_with_all(self, name: str) -> None:
        """SIGKILL the component and what it started, as a container's end does."""
        pids = [self.pid(name), *below(self.pid(name))]
        for pid in pids:
            _kill(pid)

    def busy_workers(self) -> list[int]:
        """Processes of the executor that run a task just now. An idle one holds the queue's lock: when it is killed,
        none of the others ever gets a task again (Python's SimpleQueue), which is not what is tested here."""
        titles = {pid: command_of(pid) for pid in below(self.pid("scheduler"))}
        return [pid for pid, title in titles.items() if title.startswith(WORKER_TITLE) and "<idle>" not in title]

    def task_processes(self) -> list[int]:
        """The processes in which tasks run, below the busy workers."""
        return [pid for worker in self.busy_workers() for pid in below(worker)]

    def _start(self, name: str) -> None:
        command = [sys.executable, "-m", "airflow", *COMPONENTS[name]]
        log = f"airflow-{name}-{self.deaths}"
        self._children[name] = self.tree.start(log, command, self._environment, self.project)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def below(root: int) -> list[int]:
    """All living processes below ``root``."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        found += children.get(queue[0], [])
        queue += children.get(queue.pop(0), [])
    return found


def command_of(pid: int) -> str:
    """The title of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


@contextmanager
def components_of(project: Path, folder: Path, prepare: Callable[[Components], None]) -> Iterator[Components]:
    """The local AWS with the project's stack, and every component of Airflow; all of them end with the block.

    ``prepare`` is called when there is a database and nobody else writes to it: SQLite refuses those who do.
    """
    aws = LocalAwsProcess(folder / "local-aws", ("--scikit-learn", str(project / "containers/scikit_learn")))
    aws.start()
    try:
        lines: list[str] = []
        deployment = StackDeployer(
            session=local_session(), endpoint_url=aws.endpoint_url, project_root=project, say=lines.append
        ).deploy()
        with ProcessTree(folder / "logs") as tree:  # after the local AWS, which it therefore leaves alone
            site = AirflowSite(project, folder / "airflow", free_port(), aws.endpoint_url, REGION)
            components = Components(project, tree, deployment, site)
            components.migrate()
            components.airflow("variables", "set", "stepbridge", deployment.to_json())
            prepare(components)
            components.start()
            yield components
    finally:
        aws.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def set_faults(endpoint_url: str, faults: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Let exactly these faults be set in the local AWS; the listing, with how many each struck so far."""
    answer = httpx.put(f"{endpoint_url}/_stepbridge/faults", json=faults, timeout=30.0)
    assert answer.is_success, answer.text
    listed: list[dict[str, Any]] = json.loads(answer.text)["faults"]
    return listed


def listed_faults(endpoint_url: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = httpx.get(f"{endpoint_url}/_stepbridge/faults", timeout=30.0).json()["faults"]
    return listed
