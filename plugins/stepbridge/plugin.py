"""What Airflow loads of stepbridge: by its entry point, or from ``stepbridge_plugin.py`` in a plugins folder."""

from functools import partial
from importlib import import_module
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from stepbridge.core.fields import FORM_FORMATS, has_form_format
from stepbridge.core.problems import short_repr
from stepbridge.links.stepbridge import BuildLink, ExecutionLink, JobLogsLink, ObjectsLink
from stepbridge.listeners.listener import StopListener
from stepbridge.timetable import CardTimetable


class StepbridgePlugin(AirflowPlugin):
    """The links on stepbridge's tasks, the cards' timetable, and the listener that stops executions of ended tasks."""

    name = "stepbridge"
    operator_extra_links = [BuildLink(), ExecutionLink(), JobLogsLink(), ObjectsLink()]  # noqa: RUF012  Airflow's own
    listeners = [StopListener()]  # noqa: RUF012
    timetables = [CardTimetable]  # noqa: RUF012

    @classmethod
    def on_load(cls, *_args: Any, **_kwargs: Any) -> None:
        """Teach Airflow's check of a run's parameters the form's formats, so that it refuses in words."""
        jsonschema = import_module("jsonschema")

        def check(words: str, value: object) -> bool:
            if not has_form_format(words, value):  # an error of jsonschema's own would tell the whole schema too
                raise jsonschema.ValidationError(f"{short_repr(value)} is not valid; expected: {words}")
            return True

        jsonschema.FormatChecker.checkers.update({words: (partial(check, words), ()) for words in FORM_FORMATS})
