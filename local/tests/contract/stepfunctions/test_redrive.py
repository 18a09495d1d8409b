"""RedriveExecution continues where an execution stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import ScriptedAws
from .test_states import fail, parallel

REDRIVES = "$states.context.Execution.RedriveCount"


def types_after_redrive(aws: ScriptedAws, arn: str) -> list[str]:
    types = aws.event_types(arn)
    return types[len(types) - types[::-1].index("ExecutionRedriven") :]


def redriven(aws: ScriptedAws, arn: str) -> dict[str, Any]:
    aws.sfn.redrive_execution(executionArn=arn)
    return aws.end(arn)


def failing_once(aws: ScriptedAws, prefix: str, seconds: str = "0") -> dict[str, Any]:
    """A task whose job fails until the first redrive, after ``seconds`` each time, named after the redrive count."""
    return aws.task(
        f"{{% '{prefix}-' & $string({REDRIVES}) %}}",
        {"EXIT_CODE": f"{{% {REDRIVES} = 0 ? '1' : '0' %}}", "SECONDS": seconds},
    )


def test_a_failed_task_runs_again_and_what_succeeded_does_not(aws: ScriptedAws) -> None:
    """Same ARN, input and variables; the task is scheduled anew; history goes on; counts and dates are told."""
    first, second = aws.unique("first"), aws.unique("second")
    states = {
        "First": aws.task(first, Assign={"n": "{% $states.input.n + 1 %}"}, Output={"from": "First"}, Next="Second"),
        "Second": failing_once(aws, second)
        | {"Output": {"n": "{% $n %}", "input": "{% $states.input %}", "entered": "{% $states.context.State.Name %}"}},
    }
    arn = aws.start(aws.machine(states), {"n": 1})
    failed = aws.end(arn)
    assert (failed["status"], failed["redriveStatus"]) == ("FAILED", "REDRIVABLE")
    before = aws.history(arn)
    answer = aws.sfn.redrive_execution(executionArn=arn)
    execution = aws.end(arn)
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"]) == {"n": 2, "input": {"from": "First"}, "entered": "Second"}
    assert (execution["redriveCount"], execution["redriveDate"]) == (1, answer["redriveDate"])
    assert execution["startDate"] == failed["startDate"]
    assert "error" not in execution
    history = aws.history(arn)
    assert history[: len(before)] == before
    assert [event["id"] for event in history] == list(range(1, len(history) + 1))
    assert history[len(before)]["executionRedrivenEventDetails"] == {"redriveCount": 1}
    assert types_after_redrive(aws, arn) == [
        "TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded", "TaskStateExited", "ExecutionSucceeded",
    ]  # fmt: skip
    assert [aws.job_status(f"{second}-{n}") for n in range(2)] == ["Failed", "Completed"]
    listed = aws.sfn.list_executions(stateMachineArn=execution["stateMachineArn"], redriveFilter="REDRIVEN")
    assert [item["redriveCount"] for item in listed["executions"]] == [1]


def test_redrive_again_and_again(aws: ScriptedAws) -> None:
    """Every redrive counts one more, and the context object tells the count."""
    states = {
        "Look": {
            "Type": "Choice",
            "Choices": [{"Condition": f"{{% {REDRIVES} >= 3 %}}", "Next": "Done"}],
        },
        "Done": {"Type": "Pass", "Output": f"{{% {REDRIVES} %}}", "End": True},
    }
    arn = aws.start(aws.machine(states))
    aws.end(arn)
    assert [redriven(aws, arn)["status"] for _ in range(3)] == ["FAILED", "FAILED", "SUCCEEDED"]
    execution = aws.sfn.describe_execution(executionArn=arn)
    assert (execution["output"], execution["redriveCount"]) == ("3", 3)


def test_retries_are_counted_anew(aws: ScriptedAws) -> None:
    """RetryCount and the retriers' attempts start at zero in a redrive."""
    prefix = aws.unique("again")
    task = aws.task(
        f"{{% '{prefix}-' & $string({REDRIVES}) & '-' & $string($states.context.State.RetryCount) %}}",
        {"EXIT_CODE": f"{{% {REDRIVES} = 1 and $states.context.State.RetryCount = 1 ? '0' : '1' %}}"},
        Retry=[{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1}],
    )
    arn = aws.start(aws.machine({"Run": task}))
    assert aws.end(arn)["status"] == "FAILED"
    assert redriven(aws, arn)["status"] == "SUCCEEDED"
    names = ["0-0", "0-1", "1-0", "1-1"]
    assert [aws.job_status(f"{prefix}-{name}") for name in names] == ["Failed", "Failed", "Failed", "Completed"]


def test_a_stopped_execution_goes_on(aws: ScriptedAws, tmp_path: Path) -> None:
    """ABORTED in the middle of a task: the redrive runs the task again."""
    prefix, gate = aws.unique("go-on"), tmp_path / "gate"
    states = {"Run": aws.task(f"{{% '{prefix}-' & $string({REDRIVES}) %}}", {"GATE": str(gate)})}
    arn = aws.start(aws.machine(states))
    aws.until(lambda: aws.job_exists(f"{prefix}-0"), bool)
    aws.sfn.stop_execution(executionArn=arn)
    aws.sfn.redrive_execution(executionArn=arn)
    aws.until(lambda: aws.job_exists(f"{prefix}-1"), bool)
    gate.touch()
    execution = aws.end(arn)
    assert execution["status"] == "SUCCEEDED", execution
    assert aws.job_status(f"{prefix}-0") == "Stopped"


def test_a_timed_out_execution_goes_on_with_the_whole_time(aws: ScriptedAws) -> None:
    """TIMED_OUT: the redrive has the machine's full TimeoutSeconds."""
    prefix = aws.unique("late")
    task = aws.task(f"{{% '{prefix}-' & $string({REDRIVES}) %}}", {"SECONDS": f"{{% {REDRIVES} = 0 ? '60' : '1' %}}"})
    arn = aws.start(aws.machine({"Run": task}, TimeoutSeconds=2))
    assert aws.end(arn)["status"] == "TIMED_OUT"
    assert redriven(aws, arn)["status"] == "SUCCEEDED"


def test_only_failed_branches_run_again(aws: ScriptedAws) -> None:
    """A Parallel state keeps what its finished branches gave, nested ones too, and continues inside the others."""
    good, bad, nested = aws.unique("good"), aws.unique("bad"), aws.unique("nested")
    inner = parallel(
        {"Done": {"Type": "Pass", "Output": "{% $states.context.Execution.RedriveCount %}", "End": True}},
        {"Pause": {"Type": "Wait", "Seconds": 3, "Next": "Nested"}, "Nested": failing_once(aws, nested)},
    )
    states = {
        "All": parallel(
            {"Good": aws.task(good, Output=f"{{% {REDRIVES} %}}")},
            {
                "Set": {"Type": "Pass", "Assign": {"v": "kept"}, "Next": "Bad"},
                "Bad": failing_once(aws, bad, seconds="1.5") | {"Output": "{% $v %}"},
            },
            {"Inner": inner},
            Output="{% [$states.result[0], $states.result[1], $states.result[2][0]] %}",
        )
    }
    arn = aws.start(aws.machine(states))
    assert aws.end(arn)["status"] == "FAILED"
    execution = redriven(aws, arn)
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"]) == [0, "kept", 0]
    after = types_after_redrive(aws, arn)
    assert after.count("TaskScheduled") == 2
    assert "PassStateEntered" not in after
    assert aws.job_status(f"{nested}-1") == "Completed"


def test_only_failed_iterations_run_again(aws: ScriptedAws) -> None:
    """An inline Map keeps the outputs of its finished iterations."""
    prefix = aws.unique("item")
    task = aws.task(
        f"{{% '{prefix}-' & $string($states.context.Map.Item.Value) & '-' & $string({REDRIVES}) %}}",
        {"EXIT_CODE": f"{{% {REDRIVES} = 0 and $states.context.Map.Item.Index = 2 ? '1' : '0' %}}"},
        Output=f"{{% [$states.context.Map.Item.Value, {REDRIVES}] %}}",
    )
    each = {
        "Type": "Map",
        "Items": ["a", "b", "c"],
        "MaxConcurrency": 1,
        "ItemProcessor": {"StartAt": "Run", "States": {"Run": task}},
        "End": True,
    }
    arn = aws.start(aws.machine({"Each": each}))
    assert aws.end(arn)["status"] == "FAILED"
    execution = redriven(aws, arn)
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"]) == [["a", 0], ["b", 0], ["c", 1]]
    assert types_after_redrive(aws, arn).count("TaskScheduled") == 1


def test_a_fail_state_inside_a_retried_parallel_can_be_passed(aws: ScriptedAws) -> None:
    """A redrive enters the Fail state again; a retrier of the Parallel around it then sees the higher redrive count."""
    gate = {
        "Redriven?": {
            "Type": "Choice",
            "Choices": [{"Condition": f"{{% {REDRIVES} > $seen %}}", "Next": "Go on"}],
            "Default": "Give up for now",
        },
        "Go on": {"Type": "Pass", "End": True},
        "Give up for now": fail("AlgorithmError", "{% $reason %}"),
    }
    retry = [{"ErrorEquals": ["AlgorithmError"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    states = {
        "Set": {"Type": "Pass", "Assign": {"seen": f"{{% {REDRIVES} %}}", "reason": "exit 3"}, "Next": "Give up"},
        "Give up": parallel(gate, Retry=retry, Next="Resume"),
        "Resume": {"Type": "Pass", "Output": "resumed", "End": True},
    }
    arn = aws.start(aws.machine(states))
    failed = aws.end(arn)
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "AlgorithmError", "exit 3")
    execution = redriven(aws, arn)
    assert (execution["status"], execution["output"]) == ("SUCCEEDED", '"resumed"')
    assert types_after_redrive(aws, arn).count("FailStateEntered") == 1


def test_a_client_token_makes_a_redrive_idempotent(aws: ScriptedAws) -> None:
    """The same token again answers the same and redrives nothing."""
    arn = aws.start(aws.machine({"No": fail("Bad")}))
    aws.end(arn)
    first = aws.sfn.redrive_execution(executionArn=arn, clientToken="t1")
    aws.end(arn)
    assert aws.sfn.redrive_execution(executionArn=arn, clientToken="t1")["redriveDate"] == first["redriveDate"]
    assert aws.sfn.describe_execution(executionArn=arn)["redriveCount"] == 1


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ({"Done": {"Type": "Succeed"}}, "SUCCEEDED"),
        ({"Long": {"Type": "Wait", "Seconds": 300, "End": True}}, "RUNNING"),
    ],
)
def test_what_is_not_redrivable(aws: ScriptedAws, states: dict[str, Any], status: str) -> None:
    """Running and successful executions: ExecutionNotRedrivable, as describe says beforehand."""
    arn = aws.start(aws.machine(states))
    described = aws.until(lambda: aws.sfn.describe_execution(executionArn=arn), lambda seen: seen["status"] == status)
    assert described["redriveStatus"] == "NOT_REDRIVABLE"
    with pytest.raises(ClientError, match="ExecutionNotRedrivable") as caught:
        aws.sfn.redrive_execution(executionArn=arn)
    assert described["redriveStatusReason"] in str(caught.value)
    aws.sfn.stop_execution(executionArn=arn)


def test_an_unknown_execution_is_not_redriven(aws: ScriptedAws) -> None:
    """ExecutionDoesNotExist."""
    with pytest.raises(ClientError, match="ExecutionDoesNotExist"):
        aws.sfn.redrive_execution(executionArn="arn:aws:states:us-east-1:123456789012:execution:m:nobody")
