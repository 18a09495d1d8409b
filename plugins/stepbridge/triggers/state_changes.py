"""Log lines while a trigger or a worker waits for an execution: its changes of state, and what its jobs print.

Only GetExecutionHistory reports a change, and its quota is small (20 a second and account). So the triggers of one
watcher take turns (``Subscribers.next_histories``), in which a job's log is read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stepbridge.aws.step_functions import StepFunctions
from stepbridge.core.run_report.history import parsed_object
from stepbridge.core.run_report.log_lines import shown
from stepbridge.errors import AwsError

if TYPE_CHECKING:
    from stepbridge.aws.logs import CloudWatchLogs, LogTail

LATEST_EVENTS: Final = 100
"""How many events one call reads; older ones since the last call are left out."""
JOB_LINES: Final = 200
"""How many lines of one job are shown while it runs; the others are in its log."""
REASON_LENGTH: Final = 300


class StateChanges:
    """Reports each change of the execution's state and each line of its jobs once, as ``logs`` has them by then."""

    def __init__(self, client: StepFunctions, execution_arn: str, logs: CloudWatchLogs) -> None:
        self._client = client
        self._execution_arn = execution_arn
        self._logs = logs
        self._last_event = 0
        self._tail: LogTail | None = None
        self._left = 0

    def new_lines(self) -> list[str]:
        """What is new since the last call, oldest first. Raises ``AwsError``."""
        events = self._client.latest_events(self._execution_arn, LATEST_EVENTS)
        lines = []
        for event in (event for event in events if event["id"] > self._last_event):
            self._last_event = event["id"]
            if event["type"].startswith("Task"):
                lines += self._job_lines()
            if event["type"] == "TaskScheduled":
                request = parsed_object(event["taskScheduledEventDetails"].get("parameters"))
                self._tail, self._left = self._logs.job_tail(request.get("ProcessingJobName", "")), JOB_LINES
            if line := line_of(event):
                lines.append(line)
        return lines + self._job_lines()

    def _job_lines(self) -> list[str]:
        """The running job's new lines, at most ``JOB_LINES`` in all."""
        if self._tail is None or self._left <= 0:
            return []
        try:
            lines = [f"    | {line}" for line in shown(self._tail.new_lines())]
        except AwsError as error:  # the wait goes on without them
            lines, self._left = [f"    (the job's log can't be read: {error})"], 1
        more = ["    | … more in the job's log"] if len(lines) > self._left else []
        kept = lines[: self._left] + more
        self._left -= len(lines)
        return kept


def line_of(event: Mapping[str, Any]) -> str:
    """The line for a history event; empty for one that is no change of a state that takes time."""
    kind, at = event["type"], event["timestamp"].strftime("%H:%M:%S")
    if kind in {"TaskStateEntered", "WaitStateEntered"}:
        return f"{at} {event['stateEnteredEventDetails']['name']} entered"
    if kind == "TaskStateExited":
        return f"{at} {event['stateExitedEventDetails']['name']} left"
    if kind in {"TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed", "ExecutionFailed"}:
        details = event.get(f"{kind[0].lower()}{kind[1:]}EventDetails", {})
        return f"{at} {kind}{_reason(details)}"
    return f"{at} {kind}" if kind.startswith("Execution") else ""


def _reason(details: Mapping[str, Any]) -> str:
    """Why, in SageMaker's words if it was a job that failed: Step Functions calls every such failure the same."""
    cause = details.get("cause") or ""
    job = parsed_object(cause)
    reason = job.get("FailureReason") or job.get("ProcessingJobStatus")
    if reason:
        return f": {reason}"[:REASON_LENGTH]
    return "".join(f": {text}" for text in (details.get("error"), cause) if text)[:REASON_LENGTH]
