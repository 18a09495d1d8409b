"""Registers stepbridge's links with Airflow; nothing else happens here."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from stepbridge.links.stepbridge import BuildLink, ExecutionLink, JobLogsLink


class StepbridgePlugin(AirflowPlugin):
    """What Airflow's web server must know to show the links of stepbridge's operators."""

    name = "stepbridge"
    operator_extra_links = [BuildLink(), ExecutionLink(), JobLogsLink()]  # noqa: RUF012  Airflow's own declaration
