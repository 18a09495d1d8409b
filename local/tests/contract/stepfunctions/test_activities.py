"""Activities and their workers, and what tasks that wait for a token are told."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.contract.stepfunctions.conftest import ScriptedAws


def start(aws: ScriptedAws, activity: str, **state: Any) -> str:
    task = {"Type": "Task", "Resource": activity, "TimeoutSeconds": 120, "End": True, **state}
    return aws.start(aws.create(json.dumps({"StartAt": "T", "States": {"T": task}})), {"i": 1})


def refusal(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error: Any = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture
def activity(aws: ScriptedAws) -> str:
    return str(aws.sfn.create_activity(name=aws.unique("activity"))["activityArn"])


def test_a_worker_gets_the_input_and_gives_the_output(aws: ScriptedAws, activity: str) -> None:
    """With the events that AWS has for it."""
    arn = start(aws, activity)
    task = aws.sfn.get_activity_task(activityArn=activity, workerName="w1")
    assert json.loads(task["input"]) == {"i": 1}
    aws.sfn.send_task_heartbeat(taskToken=task["taskToken"])
    aws.sfn.send_task_success(taskToken=task["taskToken"], output='{"ok": true}')
    assert json.loads(aws.end(arn)["output"]) == {"ok": True}
    assert aws.event_types(arn)[2:5] == ["ActivityScheduled", "ActivityStarted", "ActivitySucceeded"]
    (started,) = [event for event in aws.history(arn) if event["type"] == "ActivityStarted"]
    assert started["activityStartedEventDetails"] == {"workerName": "w1"}


def test_a_failure_has_its_cause(aws: ScriptedAws, activity: str) -> None:
    """As error and cause of the execution, and for a catcher."""
    catch = [{"ErrorEquals": ["Bad"], "Next": "C"}]
    definition = {
        "StartAt": "T",
        "States": {
            "T": {"Type": "Task", "Resource": activity, "Catch": catch, "End": True},
            "C": {"Type": "Pass", "End": True},
        },
    }
    for arn in (start(aws, activity), aws.start(aws.create(json.dumps(definition)))):
        token = aws.sfn.get_activity_task(activityArn=activity)["taskToken"]
        aws.sfn.send_task_failure(taskToken=token, error="Bad", cause="no such day")
        ended = aws.end(arn)
        if ended["status"] == "FAILED":
            assert (ended["error"], ended["cause"]) == ("Bad", "no such day")
        else:
            assert json.loads(ended["output"]) == {"Error": "Bad", "Cause": "no such day"}


def test_tokens(aws: ScriptedAws, activity: str) -> None:
    """Unknown ones, those of tasks that have ended, and outputs that are not JSON."""
    arn = start(aws, activity)
    token = aws.sfn.get_activity_task(activityArn=activity)["taskToken"]
    code, _ = refusal(aws.sfn.send_task_success, taskToken=token, output="{")
    assert code == "InvalidOutput"
    aws.sfn.send_task_success(taskToken=token, output="1")
    aws.end(arn)
    for call, more in (
        (aws.sfn.send_task_success, {"output": "1"}),
        (aws.sfn.send_task_failure, {}),
        (aws.sfn.send_task_heartbeat, {}),
    ):
        ended = ("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        assert refusal(call, taskToken=token, **more) == ended
        assert refusal(call, taskToken="unknown", **more) == ("InvalidToken", "Invalid Token: 'Invalid token'")


def test_a_task_of_an_ended_execution_is_not_given_out(aws: ScriptedAws, activity: str) -> None:
    """A stopped execution's task is passed over, and a waiting worker gets the next one."""
    stopped = start(aws, activity)
    aws.until(lambda: aws.event_types(stopped), lambda types: "ActivityScheduled" in types)
    aws.sfn.stop_execution(executionArn=stopped)
    assert aws.end(stopped)["status"] == "ABORTED"
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(aws.client("stepfunctions").get_activity_task, activityArn=activity)
        arn = start(aws, activity)
        aws.sfn.send_task_success(taskToken=waiting.result()["taskToken"], output="7")
    assert aws.end(arn)["output"] == "7"


def test_timeouts_and_activities_that_do_not_exist(aws: ScriptedAws, activity: str) -> None:
    """States.Timeout without a worker; States.Runtime without the activity."""
    assert aws.end(start(aws, activity, TimeoutSeconds=1))["error"] == "States.Timeout"
    ended = aws.end(start(aws, f"{activity}-none"))
    assert (ended["error"], f"{activity}-none does not exist" in ended["cause"]) == ("States.Runtime", True)


def test_the_operations(aws: ScriptedAws, activity: str) -> None:
    """Created once, listed in pages, described, deleted."""
    sfn, name = aws.sfn, activity.rsplit(":", 1)[1]
    assert sfn.create_activity(name=name)["activityArn"] == activity
    pages = sfn.get_paginator("list_activities").paginate(PaginationConfig={"PageSize": 1})
    assert activity in [one["activityArn"] for page in pages for one in page["activities"]]
    described = sfn.describe_activity(activityArn=activity)
    assert (described["name"], described["encryptionConfiguration"]) == (name, {"type": "AWS_OWNED_KEY"})
    sfn.delete_activity(activityArn=activity)
    code, message = refusal(sfn.describe_activity, activityArn=activity)
    assert (code, message) == ("ActivityDoesNotExist", f"Activity Does Not Exist: '{activity}'")
    assert refusal(sfn.get_activity_task, activityArn="x") == ("InvalidArn", "Invalid Arn: 'Invalid ARN prefix: x'")
