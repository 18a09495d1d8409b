"""What a local site is: its settings, the lock of the one process that keeps it, and the record of where it runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from stepbridge.atomic_write import write_atomically
from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.core.deployment import Deployment
from stepbridge.errors import StepbridgeError

Runtime = Literal["process", "docker", "auto"]


class SiteError(StepbridgeError):
    """The local site did not come up, or is not what the command needs it to be."""


@dataclass(frozen=True)
class SiteSettings:
    """``project`` is the project's folder; ``state`` holds all that the site keeps: data, database, logs, outputs.

    ``runtime`` is what the local AWS runs containers with, ``base_image`` what its scikit-learn image starts from; None
    leaves that to the local AWS and to the Dockerfile.
    """

    project: Path
    state: Path
    airflow_port: int = 8080
    aws_port: int = 4566
    runtime: Runtime | None = None
    base_image: str | None = None

    @classmethod
    def of(cls, project: Path) -> SiteSettings:
        """Those of a project's site in its usual folder."""
        return cls(project.resolve(), project.resolve() / ".stepbridge")

    @property
    def aws_data(self) -> Path:
        return self.state / "local-aws"

    @property
    def airflow_home(self) -> Path:
        return self.state / "airflow"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def shell_variables(self) -> Path:
        """The file that a shell sources to use the site."""
        return self.state / "activate"

    @property
    def lock(self) -> Path:
        """The file that is locked while a process starts or keeps a site in the state folder."""
        return self.state / "site.lock"

    @property
    def record(self) -> Path:
        """The file that says where the running site is; it is there only while one runs."""
        return self.state / "site.json"


@dataclass(frozen=True)
class RunningSite:
    """A site that is up. ``pid`` is the process that keeps it."""

    pid: int
    airflow_url: str
    aws_endpoint_url: str
    user: str
    password: str
    deployment: str  # the Deployment as JSON

    def airflow(self) -> AirflowClient:
        return AirflowClient(self.airflow_url, self.user, self.password)

    def stack(self) -> Deployment:
        return Deployment.model_validate_json(self.deployment)


def lock_state(settings: SiteSettings) -> IO[str]:
    """Reserve the state folder for this process, and those it forks, until they close the file or end.

    Raises SiteError if another process has it.
    """
    from stepbridge_local.processes import lock_file

    try:
        return lock_file(settings.lock)
    except BlockingIOError:
        found = f"process {state_owner(settings)} starts or keeps a site in this folder"
        raise SiteError(str(settings.state), found, "", "wait until it is up, or run `stepbridge down`") from None


def state_owner(settings: SiteSettings) -> int | None:
    """The id of the process that has locked the state folder, or None; None, too, without the local AWS."""
    try:
        from stepbridge_local.processes import lock_owner
    except ImportError:
        return None
    return lock_owner(settings.lock)


def find_running_site(settings: SiteSettings) -> RunningSite | None:
    """The site that runs for this state folder, or None."""
    try:
        site = RunningSite(**json.loads(settings.record.read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # none, or not a record of this version
        return None
    kept = site.pid == state_owner(settings) and Path(f"/proc/{site.pid}").exists()
    return site if kept else None


def record_site(settings: SiteSettings, site: RunningSite) -> None:
    """Write the record that ``find_running_site`` reads; it holds the password."""
    write_atomically(settings.record, json.dumps(asdict(site)), mode=0o600)
