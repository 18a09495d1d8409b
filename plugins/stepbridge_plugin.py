"""Registers stepbridge's links and its listener with Airflow; nothing else happens here."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from stepbridge.links.stepbridge import BuildLink, ExecutionLink, JobLogsLink, ObjectsLink
from stepbridge.listeners.listener import StopListener


class StepbridgePlugin(AirflowPlugin):
    """What Airflow's web server must know to show the links of stepbridge's operators, and its listener."""

    name = "stepbridge"
    operator_extra_links = [BuildLink(), ExecutionLink(), JobLogsLink(), ObjectsLink()]  # noqa: RUF012  Airflow's own
    listeners = [StopListener()]  # noqa: RUF012
