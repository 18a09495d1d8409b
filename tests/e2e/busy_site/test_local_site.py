"""A component of the local site that dies is started again, and the site goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.site import RunningSite
from stepbridge_local.processes import is_running
from tests.e2e.busy_site.airflow_calls import ended, logs, trigger, unpaused
from tests.e2e.conftest import until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("busy site"), pytest.mark.timeout(900)]


def components(site: RunningSite) -> dict[str, int]:
    """The process id of each of the site's own children, by a word of its command line."""
    words = ("postgres", "stepbridge_local", "scheduler", "dag-processor", "triggerer", "api")
    found: dict[str, int] = {}
    [program] = children(site.pid)
    for pid in children(program):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        found |= {word: pid for word in words if word in command}
    return found


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    "component", ["scheduler", "triggerer", "dag-processor", "api", "stepbridge_local", "postgres"]
)
def test_a_component_that_is_killed_comes_back(
    airflow: AirflowClient, site: RunningSite, project: Path, component: str
) -> None:
    """The site goes on under the same addresses, and a run that is triggered afterwards succeeds."""
    output = project / "keep-site.log"
    deployed = output.read_text().count("Stack: ") + (component == "stepbridge_local")
    killed = components(site)[component]
    os.kill(killed, signal.SIGKILL)
    until(lambda: not is_running(killed), "its end")
    until(lambda: components(site).get(component), f"{component} again")
    until(lambda: answers(f"{site.aws_endpoint_url}/_stepbridge/health"), "the local AWS")
    until(lambda: output.read_text().count("Stack: ") == deployed, output.read_text())
    until(lambda: not airflow.unhealthy_components(), f"{airflow.unhealthy_components()}")
    run_id = f"after_{component}"
    unpaused(airflow, "rows")
    trigger(airflow, "rows", run_id, None)
    assert ended(airflow, "rows", run_id) == "success", logs(airflow, "rows", run_id)
    assert "ended with exit code -9; started again (1 of" in output.read_text()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0).is_success
    except httpx.TransportError:
        return False
