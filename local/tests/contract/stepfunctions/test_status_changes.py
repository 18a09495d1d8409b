"""EventBridge's "Step Functions Execution Status Change" events, through a rule to an SQS queue, with boto3."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.stepfunctions.conftest import ScriptedAws

DETAIL_TYPE = "Step Functions Execution Status Change"
KEYS = {
    "executionArn", "stateMachineArn", "stateMachineVersionArn", "stateMachineAliasArn", "name", "status", "startDate",
    "stopDate", "input", "inputDetails", "output", "outputDetails", "error", "cause", "redriveCount", "redriveDate",
    "redriveStatus", "redriveStatusReason",
}  # fmt: skip
PASS = {"Done": {"Type": "Pass", "End": True}}


class Queue:
    """An SQS queue that a rule of the default bus sends to."""

    def __init__(self, aws: ScriptedAws, pattern: dict[str, Any]) -> None:
        name = aws.unique("changes")
        self._sqs, self._events, self._rule = aws.client("sqs"), aws.client("events"), name
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self._events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        answer = self._events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
        assert answer["FailedEntryCount"] == 0

    def take(self, count: int, within: float = 1.0) -> list[dict[str, Any]]:
        """The next events, each as its whole envelope."""
        taken: list[dict[str, Any]] = []
        deadline = time.monotonic() + within
        while len(taken) < count:
            answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
            taken += [json.loads(message["Body"]) for message in answer.get("Messages", [])]
            assert len(taken) >= count or time.monotonic() < deadline, f"only {taken} after {within} s"
        return taken

    def is_empty(self) -> bool:
        return "Messages" not in self._sqs.receive_message(QueueUrl=self._url)

    def close(self) -> None:
        self._events.remove_targets(Rule=self._rule, Ids=["queue"])
        self._events.delete_rule(Name=self._rule)
        self._sqs.delete_queue(QueueUrl=self._url)


@pytest.fixture
def queue(aws: ScriptedAws) -> Iterator[Queue]:
    queue = Queue(aws, {"source": ["aws.states"], "detail-type": [DETAIL_TYPE]})
    yield queue
    queue.close()


def test_an_execution_that_succeeds_sends_its_start_and_its_end(aws: ScriptedAws, queue: Queue) -> None:
    """Within a second, in the envelope and with the members that AWS documents, in their order."""
    arn = aws.start(aws.machine(PASS), {"n": 1})
    execution = aws.end(arn)
    started, succeeded = queue.take(2)
    for event in (started, succeeded):
        assert (event["source"], event["detail-type"], event["resources"]) == ("aws.states", DETAIL_TYPE, [arn])
        assert (event["account"], event["region"], event["version"]) == ("123456789012", "us-east-1", "0")
        assert event["detail"].keys() == KEYS
        assert event["detail"]["startDate"] == int(execution["startDate"].timestamp() * 1000)
        assert (event["detail"]["input"], event["detail"]["inputDetails"]) == ('{"n": 1}', {"included": True})
    first, last = started["detail"], succeeded["detail"]
    assert (first["status"], first["stopDate"], first["output"], first["outputDetails"]) == ("RUNNING", *[None] * 3)
    assert first["redriveStatusReason"] == "Execution is RUNNING and cannot be redriven"
    assert (last["status"], last["output"], last["outputDetails"]) == ("SUCCEEDED", '{"n":1}', {"included": True})
    assert last["stopDate"] >= last["startDate"]


def test_each_way_to_end_is_told(aws: ScriptedAws, queue: Queue) -> None:
    """FAILED with error and cause, TIMED_OUT, ABORTED with what StopExecution was given."""
    failed = aws.start(aws.machine({"Give up": {"Type": "Fail", "Error": "Bad", "Cause": "because"}}))
    assert aws.end(failed)["status"] == "FAILED"
    detail = queue.take(2)[1]["detail"]
    assert (detail["status"], detail["error"], detail["cause"]) == ("FAILED", "Bad", "because")
    assert (detail["output"], detail["redriveStatus"]) == (None, "REDRIVABLE")
    waiting = {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}
    assert aws.end(aws.start(aws.machine(waiting, TimeoutSeconds=1)))["status"] == "TIMED_OUT"
    assert [event["detail"]["status"] for event in queue.take(2)] == ["RUNNING", "TIMED_OUT"]
    stopped = aws.start(aws.machine(waiting))
    aws.sfn.stop_execution(executionArn=stopped, error="Enough", cause="of this")
    detail = queue.take(2)[1]["detail"]
    assert (detail["status"], detail["error"], detail["cause"]) == ("ABORTED", "Enough", "of this")


def test_a_redrive_is_told_as_running_again(aws: ScriptedAws, queue: Queue, tmp_path: Path) -> None:
    """RUNNING with the count and the date of the redrive; PENDING_REDRIVE is for the children of a Map Run only."""
    gate = tmp_path / "gate"
    arn = aws.start(
        aws.machine(
            {
                "Job": aws.task(
                    f"{{% 'a{aws.unique('job')}-' & $string($states.context.Execution.RedriveCount) %}}",
                    {"NEEDS": str(gate)},
                )
            }
        )
    )
    assert aws.end(arn)["status"] == "FAILED"
    queue.take(2)
    gate.touch()
    aws.sfn.redrive_execution(executionArn=arn)
    assert aws.end(arn)["status"] == "SUCCEEDED"
    again, end = (event["detail"] for event in queue.take(2))
    assert (again["status"], again["redriveCount"], again["error"]) == ("RUNNING", 1, None)
    assert again["redriveDate"] is not None
    assert (end["status"], end["redriveCount"]) == ("SUCCEEDED", 1)


def test_what_is_too_long_for_an_event_is_left_out_and_said_so(aws: ScriptedAws, queue: Queue) -> None:
    """Input and output together are at most 248 KB once escaped; the input goes first."""
    text = "x" * 130_000
    aws.end(aws.start(aws.machine(PASS), {"text": text}))
    started, succeeded = (event["detail"] for event in queue.take(2))
    assert (started["inputDetails"], json.loads(started["input"])) == ({"included": True}, {"text": text})
    assert (succeeded["input"], succeeded["inputDetails"]) == (None, {"included": False})
    assert (json.loads(succeeded["output"]), succeeded["outputDetails"]) == ({"text": text}, {"included": True})
    aws.end(aws.start(aws.machine(PASS), {"text": '"' * 70_000}))
    detail = queue.take(2)[1]["detail"]
    assert (detail["input"], detail["outputDetails"], detail["inputDetails"]) == (
        None,
        {"included": False},
        {"included": False},
    )


def test_a_pattern_selects_by_machine_and_status(aws: ScriptedAws) -> None:
    """What the pattern does not match is not sent."""
    machine, other = aws.machine(PASS), aws.machine(PASS)
    queue = Queue(aws, {"source": ["aws.states"], "detail": {"status": ["SUCCEEDED"], "stateMachineArn": [machine]}})
    aws.end(aws.start(other))
    arn = aws.start(machine)
    aws.end(arn)
    assert [event["detail"]["executionArn"] for event in queue.take(1)] == [arn]
    assert queue.is_empty()
    queue.close()


def test_a_target_that_is_gone_harms_nobody(aws: ScriptedAws, queue: Queue) -> None:
    """The event is dropped for that target; others get theirs, executions end."""
    gone = Queue(aws, {"source": ["aws.states"]})
    gone._sqs.delete_queue(QueueUrl=gone._url)
    for _ in range(2):
        assert aws.end(aws.start(aws.machine(PASS)))["status"] == "SUCCEEDED"
    assert len(queue.take(4)) == 4
    gone._events.remove_targets(Rule=gone._rule, Ids=["queue"])
    gone._events.delete_rule(Name=gone._rule)
