"""InputSensor: waits, without holding a worker, until a run's input is there."""

import time
from datetime import timedelta
from typing import Any, Final

from airflow.sdk import BaseSensorOperator, Context, PokeReturnValue

from stepbridge.aws.arns import S3Uri
from stepbridge.core.permissions import statement
from stepbridge.errors import TRANSIENT_ERRORS, AccessDeniedError, ConfigurationError, CredentialsError
from stepbridge.hooks.task_instance import describe_task, save_for_ever
from stepbridge.links.addresses import objects_address
from stepbridge.links.stepbridge import ObjectsLink
from stepbridge.operators.execution_starter import InputNotFoundError
from stepbridge.operators.run_parameters import ParameterisedOperator
from stepbridge.sensors.errors import InputCheckError
from stepbridge.triggers.deferral import deadline_has_passed, settle_seconds
from stepbridge.triggers.input import InputTrigger
from stepbridge.triggers.poll_interval import poll_interval

WAIT_KEY: Final = "stepbridge_input_wait"
"""In the task state store: ``{"max_tries", "began_at"}``, the latter in Unix time."""
BEGAN_KEY_0_1: Final = "stepbridge_input_wait_began"
"""What version 0.1.0 has there: ``<clear number of the run> <Unix time>``."""
OVERTIME: Final = timedelta(minutes=2)
"""How much later than the trigger the scheduler enforces the deadline, for when no triggerer runs."""


class InputSensor(ParameterisedOperator, BaseSensorOperator):
    """Wait until there is an object below the run's ``input_uri``; return that URI, rendered.

    The URI is rendered as StartExecutionOperator renders it, and is a prefix as SageMaker's S3Prefix is. The deadline
    counts from when the wait began, through retries, deferrals and restarts; clearing the task begins a new wait. Past
    the deadline InputNotFoundError is raised; if S3 denies access, InputCheckError with the missing statement. Neither
    is retried.

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
            return self._return_or_defer()
        super().execute(context)
        return self._uri

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002  Airflow's signature
        """Called by Airflow in the worker, ``deferrable=False``."""
        return PokeReturnValue(is_done=self._input_exists(deadline_counts=True), xcom_value=self._uri)

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """Called in the worker with the event that the trigger fired. Raises as ``execute`` does."""
        self._begin(context)
        if event["fault"] and not self._input_exists(deadline_counts=False):
            raise InputCheckError(
                f"input_uri {self._uri}",
                f"the triggerer cannot list it: {event['fault']}",
                "a triggerer that may list the input",
                f"give its role this too, if that is what is missing: {self._statement()}",
            )
        return self._return_or_defer()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow after the deferral, also past the deadline when no triggerer runs."""
        if deadline_has_passed(next_method, next_kwargs):
            return self.execute(context)
        return super().resume_execution(next_method, next_kwargs, context)

    def _begin(self, context: Context) -> None:
        """What each process does that takes up the task: the URI, the link, and when the wait began."""
        uri = self.run_parameters(context, ["input_uri"]).get("input_uri")
        if not isinstance(uri, str) or not uri:
            raise ConfigurationError(
                f"input_uri of {describe_task(context)}", repr(uri), "an S3 URI", "see the run's parameters"
            )
        self._uri = uri
        ObjectsLink.push(context, objects_address(uri, self.hook.region_name or "", self.hook.local_endpoint("s3")))
        self._began_at = wait_began_at(context)

    def _return_or_defer(self) -> Any:
        if self._input_exists(deadline_counts=True):
            return self._uri
        deadline_at = self._began_at + self.timeout
        left = deadline_at - time.time()
        self.log.info("nothing below %s yet: waiting for at most %.0f s more in the triggerer", self._uri, left)
        trigger = InputTrigger(
            uri=self._uri,
            began_at=self._began_at,
            deadline_at=deadline_at,
            aws_conn_id=self.aws_conn_id,
            region_name=self.hook.region_name,
            settle_seconds=settle_seconds(),
        )
        return self.defer(trigger=trigger, method_name="resume", timeout=timedelta(seconds=max(left, 0)) + OVERTIME)

    def _input_exists(self, *, deadline_counts: bool) -> bool:
        """Whether there is input. Past the deadline raises InputNotFoundError, if that counts."""
        unanswered = ""
        try:
            if self.hook.s3.holds_objects(S3Uri.parse(self._uri)):
                self.log.info("there is input below %s", self._uri)
                return True
        except AccessDeniedError as error:
            remedy = f"{error.remedy}: {self._statement()}"
            raise InputCheckError(error.where, error.found, error.expected, remedy) from error
        except (*TRANSIENT_ERRORS, CredentialsError) as error:
            unanswered = f"; the last call got no answer: {error}"
            self.log.warning("%s", error)
        waited = time.time() - self._began_at
        if deadline_counts and waited >= self.timeout:
            raise InputNotFoundError(
                f"input_uri {self._uri}",
                f"there was no object below it in the {self.timeout:.0f} s that this task waited{unanswered}",
                "at least one object, not counting folder markers",
                "see why it is late, or raise wait_for_input in the card; then clear wait_for_input",
            )
        return False

    def _statement(self) -> str:
        partition = self.deployed.processing_role_arn.split(":")[1]
        return statement("s3:ListBucket", f"arn:{partition}:s3:::{S3Uri.parse(self._uri).bucket}")

    def _get_next_poke_interval(self, *_args: Any, **_kwargs: Any) -> float:
        """Seconds to Airflow's next ``poke``; the age of the wait decides."""
        age = time.time() - self._began_at
        return max(min(poll_interval(age), self.timeout - age), 0.0)


def wait_began_at(context: Context) -> float:
    """When the wait began, in Unix time: with the first try since this task was cleared, which sets ``max_tries``."""
    store, max_tries = context["task_state_store"], context["ti"].max_tries
    kept: Any = store.get(WAIT_KEY)
    if isinstance(kept, dict) and kept["max_tries"] == max_tries:
        return float(kept["began_at"])
    began_at = time.time()
    of_0_1 = store.get(BEGAN_KEY_0_1)
    if kept is None and isinstance(of_0_1, str):
        clear_number, _, began = of_0_1.partition(" ")
        if int(clear_number) == (context["dag_run"].clear_number or 0):
            began_at = float(began)
    save_for_ever(context, WAIT_KEY, {"max_tries": max_tries, "began_at": began_at})
    return began_at
