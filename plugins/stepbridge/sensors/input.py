"""InputSensor: waits, without holding a worker, until a run's input is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason

from stepbridge.aws.arns import S3Uri
from stepbridge.core.permissions import statement
from stepbridge.errors import AccessDeniedError, ConfigurationError, CredentialsError
from stepbridge.hooks.task_instance import describe_task
from stepbridge.links.addresses import objects_address
from stepbridge.links.stepbridge import ObjectsLink
from stepbridge.operators.errors import InputNotFoundError
from stepbridge.operators.run_parameters import ParameterisedOperator
from stepbridge.sensors.errors import InputCheckError
from stepbridge.triggers.deferral import settle_seconds
from stepbridge.triggers.input import InputTrigger
from stepbridge.triggers.poll_interval import poll_interval
from stepbridge.triggers.watcher import TRANSIENT_ERRORS

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["InputSensor"]

BEGAN_KEY: Final = "stepbridge_input_wait_began"
OVERTIME: Final = timedelta(minutes=2)
"""How much later than the trigger the scheduler enforces the deadline, when no triggerer runs."""


class InputSensor(ParameterisedOperator, BaseSensorOperator):
    """Wait until there is an object below the run's ``input_uri``; return that URI, rendered.

    It is rendered as StartExecutionOperator renders it, and S3 is asked as SageMaker's S3Prefix means it. The deadline
    counts from when the wait began, through retries, deferrals and restarts; clearing the task begins a new wait. Past
    it InputNotFoundError is raised, which is not retried; so is AccessDeniedError, with the statement that is missing.

    :param timeout: the deadline in seconds, or as a timedelta.
    :param deferrable: wait in the triggerer; else in a worker.
    :param parameters: see ParameterisedOperator; ``input_uri`` alone counts.
    """

    operator_extra_links = (ObjectsLink(),)
    valid_modes = ("poke",)

    def __init__(self, *, deferrable: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self._uri = ""
        self._began_at = 0.0

    def execute(self, context: Context) -> Any:
        """The URI. Raises InputNotFoundError, InputCheckError, ExecutionInputError and ``AwsError``."""
        self._begin(context)
        if self.deferrable:
            return self._found_or_deferred()
        super().execute(context)
        return self._uri

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002  Airflow's signature
        """A look from the worker; what passes by itself only makes it wait longer."""
        return PokeReturnValue(is_done=self._looked(past_is_final=True), xcom_value=self._uri)

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """What the worker does when the trigger fired. Raises as ``execute`` does."""
        self._begin(context)
        if event["fault"] and not self._looked(past_is_final=False):
            raise InputCheckError(
                f"input_uri {self._uri}",
                f"the triggerer cannot look whether it is there: {event['fault']}",
                "a triggerer that may list the input",
                f"give its role this too, if that is what is missing: {self._statement()}",
            )
        return self._found_or_deferred()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow after the deferral, also when no triggerer told of the deadline."""
        error = (next_kwargs or {}).get("error")
        if next_method == TRIGGER_FAIL_REPR and error == TriggerFailureReason.TRIGGER_TIMEOUT:
            self._begin(context)
            return self._found_or_deferred()
        return super().resume_execution(next_method, next_kwargs, context)

    def _begin(self, context: Context) -> None:
        """What each process that takes up the task needs: the URI, the link, and when the wait began."""
        uri = self.run_parameters(context, ["input_uri"]).get("input_uri")
        if not isinstance(uri, str) or not uri:
            raise ConfigurationError(
                f"input_uri of {describe_task(context)}", repr(uri), "an S3 URI", "see the run's parameters"
            )
        self._uri = uri
        ObjectsLink.push(context, objects_address(uri, self.hook.region_name or "", self.hook.local_endpoint("s3")))
        store, mine = context["task_state_store"], f"{context['dag_run'].clear_number or 0} "
        kept = store.get(BEGAN_KEY)
        if isinstance(kept, str) and kept.startswith(mine):
            self._began_at = float(kept.removeprefix(mine))
            return
        self._began_at = time.time()
        store.set(BEGAN_KEY, f"{mine}{self._began_at}")

    def _found_or_deferred(self) -> Any:
        if self._looked(past_is_final=True):
            return self._uri
        deadline_at = self._began_at + self.timeout
        left = deadline_at - time.time()
        self.log.info("nothing below %s yet: waiting for at most %.0f s more in the triggerer", self._uri, left)
        return self.defer(
            trigger=InputTrigger(
                uri=self._uri,
                began_at=self._began_at,
                deadline_at=deadline_at,
                aws_conn_id=self.aws_conn_id,
                region_name=self.hook.region_name,
                settle_seconds=settle_seconds(),
            ),
            method_name="resume",
            timeout=timedelta(seconds=max(left, 0)) + OVERTIME,
        )

    def _looked(self, *, past_is_final: bool) -> bool:
        """Whether there is input. Past the deadline raises InputNotFoundError, if that is asked for."""
        told = ""
        try:
            if self.hook.s3.holds_objects(S3Uri.parse(self._uri)):
                self.log.info("there is input below %s", self._uri)
                return True
        except AccessDeniedError as fault:
            remedy = f"{fault.remedy}: {self._statement()}"
            raise InputCheckError(fault.where, fault.found, fault.expected, remedy) from fault
        except (*TRANSIENT_ERRORS, CredentialsError) as fault:
            told = f"; the last look got no answer: {fault}"
            self.log.warning("%s", fault)
        waited = time.time() - self._began_at
        if past_is_final and waited >= self.timeout:
            raise InputNotFoundError(
                f"input_uri {self._uri}",
                f"there was no object below it in the {self.timeout:.0f} s that this task waited{told}",
                "at least one object, other than the marks of folders",
                "see why it is late, then clear this task for another wait; or raise wait_for_input in the card",
            )
        return False

    def _statement(self) -> str:
        partition = self.deployed.processing_role_arn.split(":")[1]
        return statement("s3:ListBucket", f"arn:{partition}:s3:::{S3Uri.parse(self._uri).bucket}")

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        _ = started_at, run_duration, poke_count  # how long the wait takes already decides
        age = time.time() - self._began_at
        return max(min(poll_interval(age), self.timeout - age), 0.0)
