"""What Airflow loads of stepbridge: by its entry point, or from ``stepbridge_plugin.py`` in a plugins folder."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from stepbridge.links.stepbridge import BuildLink, ExecutionLink, JobLogsLink, ObjectsLink
from stepbridge.listeners.listener import StopListener
from stepbridge.timetable import CardTimetable

__all__ = ["StepbridgePlugin"]


class StepbridgePlugin(AirflowPlugin):
    """The links on stepbridge's tasks, the cards' timetable, and the listener that stops executions of ended tasks."""

    name = "stepbridge"
    operator_extra_links = [BuildLink(), ExecutionLink(), JobLogsLink(), ObjectsLink()]  # noqa: RUF012  Airflow's own
    listeners = [StopListener()]  # noqa: RUF012
    timetables = [CardTimetable]  # noqa: RUF012
