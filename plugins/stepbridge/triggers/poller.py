"""One poll of a state machine's executions: ListExecutions of what runs, 1000 a page, however many triggers wait.

If several awaited executions run no longer, a second listing, of the latest executions, says how they ended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from stepbridge.aws.arns import region_of, state_machine_arn
from stepbridge.aws.step_functions import PAGE_SIZE, StepFunctions
from stepbridge.core.statuses import execution_status
from stepbridge.errors import TRANSIENT_ERRORS, AwsError, CredentialsError

if TYPE_CHECKING:
    from stepbridge.aws.logs import CloudWatchLogs
    from stepbridge.aws.sqs import Sqs
    from stepbridge.hooks.stepbridge import StepbridgeHook

log = logging.getLogger(__name__)

CREDENTIALS_GRACE_SECONDS: Final = 600.0
"""How long a wait goes on with refused credentials, so that somebody can renew them in the connection."""

MOST_LISTED: Final = 3 * PAGE_SIZE
"""How many of the latest executions are listed to see how some ended; the others are described one by one."""


@dataclass(frozen=True)
class Snapshot:
    """What a poll saw through ``client``: the executions that run, or the ``error`` that kept it from seeing them.

    ``statuses``: what some executions ended with. ``ended``: set if this is no poll's snapshot, but ends that events
    reported. ``fatal``: the error does not pass by itself, so the waits fail. ``histories``: the executions whose
    history is to be read now.
    """

    client: StepFunctions
    logs: CloudWatchLogs
    running: frozenset[str] = frozenset()
    statuses: Mapping[str, str] = field(default_factory=dict)
    ended: frozenset[str] | None = None
    error: AwsError | None = None
    fatal: bool = False
    histories: frozenset[str] = frozenset()

    def may_have_ended(self, execution_arn: str) -> bool:
        """Whether the execution should be described now."""
        if self.ended is not None:
            return execution_arn in self.ended
        return self.error is None and execution_arn not in self.running


def hook_of(arguments: Mapping[str, Any]) -> StepbridgeHook:
    """The hook for a trigger's or a sensor's ``arguments``, in the execution's region unless another is named."""
    from stepbridge.hooks.stepbridge import StepbridgeHook  # here, so that parsing a DAG file does not import boto3

    region = arguments["region_name"] or region_of(arguments["execution_arn"])
    return StepbridgeHook(arguments["aws_conn_id"], region)


class Poller:
    """Polls one state machine, in one thread at a time, through one session and one client."""

    def __init__(self, arguments: Mapping[str, Any], awaited: Callable[[], frozenset[str]]) -> None:
        self._arguments = arguments
        self._state_machine = state_machine_arn(arguments["execution_arn"])
        self._awaited = awaited
        self._hook: StepbridgeHook | None = None
        self._failing_since = 0.0
        self.failures = 0
        """Polls in a row that got no answer."""
        self.youngest_seconds = 0.0
        """The age of the youngest execution that runs."""
        self.pages = 1
        """The calls that a poll takes."""

    def poll(self) -> Snapshot:
        """What runs now. Raises nothing: the snapshot has the error."""
        client, logs = self._connected().step_functions, self._connected().logs
        try:
            running = list(client.running(self._state_machine))
            arns = frozenset(execution.arn for execution in running)
            statuses = self._statuses(client, self._awaited() - arns)
        except AwsError as error:
            return self._failed(Snapshot(client, logs, error=error), error)
        self.failures = 0
        now = datetime.now(UTC)
        ages = ((now - execution.latest_start).total_seconds() for execution in running)
        self.youngest_seconds, self.pages = min(ages, default=0.0), len(running) // PAGE_SIZE + 1
        return Snapshot(client, logs, arns, statuses)

    def sqs(self) -> Sqs:
        """Queues, through the same session. Any thread may ask."""
        return self._connected().sqs

    def _statuses(self, client: StepFunctions, missing: frozenset[str]) -> dict[str, str]:
        """What the ``missing`` executions ended with. A single one is left to its trigger: that is one call too."""
        if len(missing) < 2:
            return {}
        found = (one for one in client.latest(self._state_machine, MOST_LISTED) if one.arn in missing)
        ended = ((one.arn, one.status) for one in found if execution_status(one.status).terminal)
        return dict(islice(ended, len(missing)))  # no page is read after the last of them

    def _connected(self) -> StepbridgeHook:
        hook = self._hook = self._hook or hook_of(self._arguments)
        return hook

    def _failed(self, snapshot: Snapshot, error: AwsError) -> Snapshot:
        self._failing_since = self._failing_since if self.failures else time.monotonic()
        self.failures += 1
        fatal = not isinstance(error, TRANSIENT_ERRORS)
        if isinstance(error, CredentialsError):
            fatal = time.monotonic() - self._failing_since > CREDENTIALS_GRACE_SECONDS
            self._hook = None  # the next poll reads the connection again
        log.log(logging.ERROR if fatal else logging.WARNING, "cannot list what runs: %s", error)
        return replace(snapshot, fatal=fatal)
