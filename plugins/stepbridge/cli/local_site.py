"""The local AWS and a real Airflow side by side for one project, deployed and ready to run models."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import boto3
import httpx

from stepbridge.cli.airflow_site import AirflowClient, AirflowSite, airflow_environment
from stepbridge.cli.deploy import deploy_stack
from stepbridge.cli.processes import ProcessTree, process_start_ticks
from stepbridge.core.deployment import Deployment
from stepbridge.errors import StepbridgeError
from stepbridge_local.settings import DEFAULT_RUNTIME, Runtime

__all__ = [
    "RunningSite",
    "SiteError",
    "SiteSettings",
    "bring_up",
    "build_prebuilt_images",
    "find_running_site",
    "local_session",
    "record_site",
    "runtime_of",
]

Say = Callable[[str], None]

REGION = "us-east-1"


class SiteError(StepbridgeError):
    """The local site did not come up, or is not what the command needs it to be."""


@dataclass(frozen=True)
class SiteSettings:
    """``project`` is the checkout; ``state`` holds all that the site keeps: data, database, logs, copies of outputs.

    ``runtime`` is what the local AWS runs containers with.
    """

    project: Path
    state: Path
    airflow_port: int = 8080
    aws_port: int = 4566
    runtime: Runtime = DEFAULT_RUNTIME

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
    def record(self) -> Path:
        """The file that says where the running site is; it is there only while one runs."""
        return self.state / "site.json"


@dataclass(frozen=True)
class RunningSite:
    """A site that is up. ``pid`` is the process that keeps it, ``start_ticks`` when that process started."""

    pid: int
    start_ticks: int
    airflow_url: str
    aws_endpoint_url: str
    user: str
    password: str
    deployment: str  # the Deployment as JSON

    def airflow(self) -> AirflowClient:
        return AirflowClient(self.airflow_url, self.user, self.password)

    def stack(self) -> Deployment:
        return Deployment.model_validate_json(self.deployment)

    def is_alive(self) -> bool:
        return process_start_ticks(self.pid) == self.start_ticks


def find_running_site(settings: SiteSettings) -> RunningSite | None:
    """The site that runs for this state folder, or None."""
    try:
        site = RunningSite(**json.loads(settings.record.read_text()))
    except FileNotFoundError:
        return None
    return site if site.is_alive() else None


def local_session() -> boto3.Session:
    """A session whose keys are accepted by the local AWS and worth nothing elsewhere."""
    return boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION)


def bring_up(
    tree: ProcessTree, settings: SiteSettings, say: Say, prepare: Callable[[RunningSite], object]
) -> RunningSite:
    """Start everything and return once the stack is deployed and every Airflow component is healthy.

    ``prepare`` runs as soon as the stack is deployed, while Airflow still starts. Raises SiteError, ChildDied,
    AirflowError, or what the deployment or ``prepare`` raised; the caller's ``tree`` then ends what was started.
    """
    aws_url = _start_local_aws(tree, settings, say)
    site = AirflowSite(settings.project, settings.airflow_home, _free_port(settings.airflow_port, say), aws_url, REGION)
    environment = site.environment()
    deployed = _Background(lambda: _deploy(settings, site, say, prepare))
    deployed.start()
    _migrate_once(tree, site, environment, say)
    say("Airflow: starting scheduler, DAG processor, triggerer and API server")
    site.start(tree, environment)
    client = AirflowClient(site.url, site.user, site.password())
    _wait_until_healthy(tree, client)
    say(f"Airflow: ready on {site.url}")
    running = deployed.result(tree)
    client.set_variable("stepbridge", running.deployment, "What `stepbridge deploy` made; read when tasks run")
    client.close()
    return running


def record_site(settings: SiteSettings, site: RunningSite) -> None:
    """Write the record that ``find_running_site`` reads; readable by its owner only, it holds the password."""
    temporary = settings.record.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(asdict(site), stream)
    temporary.replace(settings.record)


class _Background:
    """A function on a thread of its own whose result, or exception, is collected later."""

    def __init__(self, function: Callable[[], RunningSite]) -> None:
        self._function = function
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._result: RunningSite | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001  handed to the caller of result()
            self._error = error

    def result(self, tree: ProcessTree) -> RunningSite:
        while self._thread.is_alive():
            tree.check()
            self._thread.join(0.1)
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result


def _start_local_aws(tree: ProcessTree, settings: SiteSettings, say: Say) -> str:
    port = _free_port(settings.aws_port, say)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "stepbridge_local.cli.main", "up"]
    command += ["--port", str(port), "--data-dir", str(settings.aws_data), "--runtime", settings.runtime]
    tree.start("local-aws", command, airflow_environment(os.environ) | _build_variables(), settings.project)
    deadline = time.monotonic() + 60
    while not _answers(f"{url}/_stepbridge/health"):
        tree.check()
        if time.monotonic() > deadline:
            raise SiteError(
                "local AWS", f"does not answer on {url} after 60 s", remedy=f"see {settings.logs}/local-aws.log"
            )
        time.sleep(0.05)
    say(f"Local AWS: ready on {url}")
    return url


def _build_variables() -> dict[str, str]:
    """What an image build needs to reach package index and Docker engine as this user does."""
    wanted = ("UV_", "PIP_", "DOCKER_", "SSL_CERT_", "XDG_CACHE_HOME")
    names = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    return {k: v for k, v in os.environ.items() if k.startswith(wanted) or k.upper() in names}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0).is_success
    except httpx.TransportError:
        return False


def _deploy(
    settings: SiteSettings, site: AirflowSite, say: Say, prepare: Callable[[RunningSite], object]
) -> RunningSite:
    with (settings.logs / "deploy.log").open("w") as log:
        deployment = deploy_stack(
            session=local_session(),
            endpoint_url=site.aws_endpoint_url,
            project_root=settings.project,
            say=lambda line: print(line, file=log, flush=True),
        )
    say(f"Stack: {deployment.stack_name} deployed, state machine {deployment.state_machine_arn.rpartition(':')[2]}")
    ticks = process_start_ticks(os.getpid())
    assert ticks is not None
    running = RunningSite(
        pid=os.getpid(),
        start_ticks=ticks,
        airflow_url=site.url,
        aws_endpoint_url=site.aws_endpoint_url,
        user=site.user,
        password=site.password(),
        deployment=deployment.model_dump_json(),
    )
    prepare(running)
    return running


def build_prebuilt_images(site: RunningSite, say: Say) -> str:
    """Have the local AWS build its stand-in for SageMaker's scikit-learn container; the image's id."""
    started = time.monotonic()
    answer = httpx.post(f"{site.aws_endpoint_url}/_stepbridge/prebuilt-images", timeout=600.0)
    if answer.is_error:
        raise SiteError("scikit-learn image", answer.text, remedy="see containers/scikit_learn/Dockerfile")
    say(f"Image: scikit-learn container ready ({time.monotonic() - started:.1f} s)")
    image_id: str = answer.json()["sagemaker-scikit-learn"]
    return image_id


def runtime_of(site: RunningSite) -> str:
    """``process`` or ``docker``: what the site's local AWS runs containers with."""
    runtime: str = httpx.get(f"{site.aws_endpoint_url}/_stepbridge/health", timeout=10.0).json()["runtime"]
    return runtime


def _migrate_once(tree: ProcessTree, site: AirflowSite, environment: dict[str, str], say: Say) -> None:
    """Migrate the database unless this very version of Airflow did already."""
    marker, installed = site.home / "migrated", version("apache-airflow")
    if marker.exists() and marker.read_text() == installed:
        return
    say("Airflow: preparing its database")
    site.migrate_database(tree, environment)
    marker.write_text(installed)


def _wait_until_healthy(tree: ProcessTree, client: AirflowClient) -> None:
    deadline = time.monotonic() + 180
    while missing := client.unhealthy_components():
        tree.check()
        if time.monotonic() > deadline:
            raise SiteError("Airflow", f"not healthy after 180 s: {', '.join(missing)}")
        time.sleep(0.2)


def _free_port(wanted: int, say: Say) -> int:
    """``wanted`` if nobody listens there, else a free one, which is said."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
            say(f"Port {wanted} is taken; using {probe.getsockname()[1]} instead")
        port: int = probe.getsockname()[1]
        return port
