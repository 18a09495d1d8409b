"""The tasks of a DAG run that have to be cleared together, so that changed files reach a new execution."""

import logging
from typing import TYPE_CHECKING

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from stepbridge.errors import StepbridgeError
from stepbridge.hooks.task_instance import describe_task
from stepbridge.operators.build_image import BuildImageOperator
from stepbridge.operators.upload_scripts import UploadScriptsOperator

if TYPE_CHECKING:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

log = logging.getLogger(__name__)

STILL_TO_RUN = frozenset({None, "", "scheduled", "queued", "up_for_retry", "up_for_reschedule", "restarting"})


class TasksNotClearedError(StepbridgeError, AirflowFailException):
    """A task was cleared without others that have to run again with it. Airflow does not retry it: they stay as is."""


class RunTasks:
    """Those of ``model``, seen from the start or the wait that runs in ``context``."""

    def __init__(self, context: Context, model: str) -> None:
        self._context = context
        self._ti: RuntimeTaskInstance = context["ti"]  # type: ignore[assignment]
        task = context["task"]
        above = sorted(task.get_flat_relatives(upstream=True), key=lambda each: each.task_id)
        folders = [each for each in above if isinstance(each, BuildImageOperator | UploadScriptsOperator)]
        self._sources = [each for each in folders if each.model == model]
        self._waits = [each.task_id for each in task.downstream_list if "execution_arn" in each.template_fields]
        starts = [each.task_id for each in task.upstream_list if "code_uri" in each.template_fields]
        self._ids = [*(each.task_id for each in self._sources), *starts, task.task_id, *self._waits]

    def changed(self, *used: str | None) -> list[str]:
        """The tasks whose folders hold something else than what these URIs, of an image and of scripts, came from."""
        return [each.task_id for each in self._sources if any(uri and self._differs(each, uri) for uri in used)]

    def reuse(self, *used: str | None) -> str:
        """What an execution that goes on uses, and how to get a fresh run."""
        uses = " and ".join(uri for uri in used if uri) or "nothing that tasks of the run have brought"
        return f"it uses {uses}; for a fresh run {self.advice()}"

    def advice(self) -> str:
        """What to clear for an execution of the files as they are now."""
        *others, last = self._ids
        versioned = getattr(getattr(self._ti, "bundle_instance", None), "version", None)
        latest = ", with 'Run with latest bundle version'" if versioned else ""
        return f"clear {', '.join(others)} and {last}{latest}" if others else f"clear {last}{latest}"

    def require_unchanged(self, execution_arn: str, *used: str | None) -> None:
        """Raises TasksNotClearedError where ``changed`` names a task."""
        if changed := self.changed(*used):
            raise self._error(f"the files of {' and '.join(changed)} are no longer those of {execution_arn}")

    def require_waits(self, execution_arn: str) -> None:
        """Raises TasksNotClearedError where a wait of the start would not see what that starts."""
        states: dict[str, str | None] = {}
        if self._waits:
            run_ids = [self._ti.run_id]
            found = self._ti.get_task_states(self._ti.dag_id, task_ids=self._waits, run_ids=run_ids)
            states = found.get(self._ti.run_id, {})
        for wait in self._waits:
            state = states.get(f"{wait}_{self._ti.map_index}", states.get(wait))
            if state not in STILL_TO_RUN:
                raise self._error(f"{wait} was not cleared: it is {state} and knows only {execution_arn}")

    def _error(self, found: str) -> TasksNotClearedError:
        expected = "all tasks to be cleared that have to run again"
        return TasksNotClearedError(
            describe_task(self._context), f"{found}; nothing was started", expected, self.advice()
        )

    def _differs(self, source: BuildImageOperator | UploadScriptsOperator, uri: str) -> bool:
        try:
            copy = source.prepare_for_execution()
            copy.render_template_fields(self._context)
            return copy.differs_from(uri)
        except (StepbridgeError, OSError) as error:  # such as a folder that only other workers have
            log.warning("whether the files of %s have changed is not known: %s", source.task_id, error)
            return False
