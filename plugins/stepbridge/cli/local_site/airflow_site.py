"""A real Airflow under an AIRFLOW_HOME of the project: its environment and its components."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stepbridge.atomic_write import write_atomically

if TYPE_CHECKING:
    from stepbridge_local.processes import ProcessTree

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "api-server": ("api-server",),
}
"""Subcommands of ``airflow`` that together are one Airflow. Their log servers listen on every interface, and nobody
needs them where all components share one disk."""

ACCESS_KEY_ID, SECRET_ACCESS_KEY = "AKIASTEPBRIDGELOCAL0", "dummy0key1of2stepbridge3local4aws"
"""Airflow masks them in every log, wherever they stand: so they are words that stand nowhere else."""

_HOST_VARIABLES = "PATH HOME LANG LC_ALL TZ TMPDIR LD_LIBRARY_PATH SSL_CERT_FILE USER LOGNAME".split()  # noqa: SIM905


@dataclass(frozen=True)
class AirflowSite:
    """Where an Airflow lives: the project it serves, its home, its port, the AWS that it talks to, and its database.

    Without ``database_url`` the database is SQLite in the home.
    """

    project: Path
    home: Path
    port: int
    aws_endpoint_url: str
    region: str
    database_url: str | None = None
    user: ClassVar[str] = "admin"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def password(self) -> str:
        """The password of ``user``, made on first use and kept in the home with mode 600."""
        return _kept_secret(self.home / "password", 12)

    def environment(self) -> dict[str, str]:
        """The environment of every Airflow component and command of this site."""
        self.home.mkdir(parents=True, exist_ok=True)
        passwords = self.home / "passwords.json"
        write_atomically(passwords, json.dumps({self.user: self.password()}), mode=0o600)
        extra = {"region_name": self.region, "endpoint_url": self.aws_endpoint_url}
        connection = {"conn_type": "aws", "login": ACCESS_KEY_ID, "password": SECRET_ACCESS_KEY, "extra": extra}
        database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database_url} if self.database_url else {}
        return (
            airflow_environment(os.environ)
            | database
            | {
                "AIRFLOW_HOME": str(self.home),
                # Airflow 3.3's own use of pathspec, which would stand in the log of every task.
                "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore:GitWildMatchPattern:DeprecationWarning"),
                "AIRFLOW__CORE__DAGS_FOLDER": str(self.project / "dags"),
                "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.project / "plugins"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
                "AIRFLOW__CORE__PARALLELISM": "4",
                # LocalExecutor takes whatever is scheduled, first come, first served: only a pool of as many slots
                # keeps tasks of a higher priority from waiting behind all others.
                "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": "4",
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
                # After a scheduler was killed, what it had queued goes on this soon; the default is five minutes.
                "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
                "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
                # A worker can notice the end of its task this late; the default of 5 s would show in every hop.
                "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
                "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # the default of 5 s fails tasks on a busy machine
                "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
            }
        )

    def write_shell_variables(self, file: Path) -> None:
        """Write what a shell has to source so that ``airflow``, ``aws``, boto3 and ``stepbridge`` mean this site."""
        variables = {key: value for key, value in self.environment().items() if key.startswith("AIRFLOW")}
        variables |= {"AWS_ENDPOINT_URL": self.aws_endpoint_url, "AWS_DEFAULT_REGION": self.region}
        variables |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
        lines = [f"export {key}={shlex.quote(value)}" for key, value in variables.items()]
        lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
        write_atomically(file, "\n".join(lines) + "\n", mode=0o600)

    def migrate_database(self, tree: ProcessTree, environment: Mapping[str, str]) -> None:
        """Create or migrate the metadata database. Raises ChildEndedError with the end of its output."""
        tree.run("airflow-db", _airflow("db", "migrate"), environment, self.project)

    def start(self, tree: ProcessTree, environment: Mapping[str, str]) -> None:
        """Start the scheduler, the DAG processor, the triggerer and the API server."""
        for name, arguments in COMPONENTS.items():
            tree.start(f"airflow-{name}", _airflow(*arguments), environment, self.project, distrusted=True)


def airflow_environment(host: Mapping[str, str]) -> dict[str, str]:
    """The few variables of the host that Airflow's components get: none of its AWS ones, none of another Airflow's."""
    return {name: host[name] for name in _HOST_VARIABLES if name in host}


def _airflow(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def _kept_secret(file: Path, size_bytes: int) -> str:
    if not file.exists() or not file.stat().st_size:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, secrets.token_urlsafe(size_bytes), mode=0o600)
    return file.read_text()
