"""States in JSONata: data flow, errors, retries, waiting, branching."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .conftest import ScriptedAws


def fail(error: str, cause: str = "because") -> dict[str, Any]:
    return {"Type": "Fail", "Error": error, "Cause": cause}


def parallel(*branches: dict[str, Any], **state: Any) -> dict[str, Any]:
    following = {} if "Next" in state else {"End": True}
    return {
        "Type": "Parallel",
        "Branches": [{"StartAt": next(iter(states)), "States": states} for states in branches],
        **following,
        **state,
    }


# --- data -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", ["it's", 'say "hi"', "back\\slash", "line\nbreak", "é 😀", "%}", "{% 1 %}", "`$x`"])
def test_no_character_of_an_input_changes_an_expression(aws: ScriptedAws, value: str) -> None:
    """Strings pass through variables, arguments and outputs as they are."""
    states = {
        "Keep": {"Type": "Pass", "Assign": {"kept": "{% $states.input.value %}"}, "Next": "Give"},
        "Give": {"Type": "Pass", "Output": {"kept": "{% $kept %}", "joined": "{% $kept & '!' %}"}, "End": True},
    }
    assert aws.output(states, {"value": value}) == {"kept": value, "joined": value + "!"}


def test_characters_of_a_definition_are_kept(aws: ScriptedAws) -> None:
    """Escapes, quotes and characters beyond the basic plane in the definition itself."""
    text = "😀 é \\ / \" ' \t"
    assert aws.output({"P": {"Type": "Pass", "Output": {"text": text}, "End": True}}) == {"text": text}
    expression = "{% $replace('a/b\\\\c', /\\/|\\\\/, '😀') %}"
    assert aws.output({"P": {"Type": "Pass", "Output": expression, "End": True}}) == "a😀b😀c"


def test_numbers_and_nulls_are_kept(aws: ScriptedAws) -> None:
    """Whole numbers stay whole, null stays null, empty and single lists stay lists."""
    given = {"int": 1, "half": 0.5, "null": None, "none": [], "one": [1], "big": 2**53, "true": True}
    result = aws.run({"P": {"Type": "Pass", "Output": "{% $states.input %}", "End": True}}, given)
    assert json.loads(result["output"]) == given
    assert '"int":1,' in result["output"]


def test_assign_takes_effect_after_the_state(aws: ScriptedAws) -> None:
    """Output and Assign of one state both see the variables as they were when it was entered."""
    states = {
        "First": {"Type": "Pass", "Assign": {"n": 1}, "Next": "Second"},
        "Second": {
            "Type": "Pass",
            "Assign": {"n": "{% $n + 1 %}", "before": "{% $n %}"},
            "Output": "{% $n %}",
            "Next": "Third",
        },
        "Third": {"Type": "Pass", "Output": ["{% $states.input %}", "{% $n %}", "{% $before %}"], "End": True},
    }
    assert aws.output(states) == [1, 2, 1]


def test_context_object(aws: ScriptedAws) -> None:
    """``$states.context`` has execution, state and state machine, with times in UTC."""
    machine = aws.machine({"Look": {"Type": "Pass", "Output": "{% $states.context %}", "End": True}})
    arn = aws.start(machine, {"a": 1}, name="seen")
    context = json.loads(aws.end(arn)["output"])
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(moment, context["Execution"].pop("StartTime"))
    assert re.fullmatch(moment, context["State"].pop("EnteredTime"))
    assert context == {
        "Execution": {
            "Id": arn,
            "Name": "seen",
            "Input": {"a": 1},
            "RoleArn": "arn:aws:iam::123456789012:role/states",
            "RedriveCount": 0,
        },
        "State": {"Name": "Look"},
        "StateMachine": {"Id": machine, "Name": machine.rsplit(":", 1)[1]},
    }


def test_an_undefined_result_fails_the_execution(aws: ScriptedAws) -> None:
    """States.QueryEvaluationError tells the expression and the state."""
    execution = aws.run({"P": {"Type": "Pass", "Output": {"x": "{% $states.input.nowhere %}"}, "End": True}})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.QueryEvaluationError")
    assert (
        "'$states.input.nowhere' specified for the field 'Output/x' returned nothing (undefined)" in execution["cause"]
    )
    assert "'P' (entered at the event id #2)" in execution["cause"]
    assert "EvaluationFailed" in aws.event_types(execution["executionArn"])


def test_a_failing_evaluation_in_a_task_can_be_caught(aws: ScriptedAws) -> None:
    """States.QueryEvaluationError of a task's arguments goes the way of its other errors."""
    catch = [{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "Caught"}]
    execution = aws.run(
        {"Run": aws.task("{% $states.input.nowhere %}", Catch=catch), "Caught": {"Type": "Succeed"}},
    )
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"])["Error"] == "States.QueryEvaluationError"
    assert aws.event_types(execution["executionArn"]).count("EvaluationFailed") == 1


# --- Choice and Fail --------------------------------------------------------------------------------------------------
def test_choice(aws: ScriptedAws) -> None:
    """The first rule that holds is taken, with its Assign and Output; the default's only without a rule."""
    states = {
        "Which": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $states.input.n > 10 %}", "Next": "End", "Assign": {"size": "big"}},
                {"Condition": "{% $states.input.n > 5 %}", "Next": "End", "Assign": {"size": "middle"}},
            ],
            "Default": "End",
            "Assign": {"size": "small"},
        },
        "End": {"Type": "Pass", "Output": "{% $size %}", "End": True},
    }
    assert [aws.output(states, {"n": n}) for n in (11, 7, 1)] == ["big", "middle", "small"]


def test_choice_without_a_match(aws: ScriptedAws) -> None:
    """No rule and no default: States.NoChoiceMatched."""
    rule = {"Condition": "{% false %}", "Next": "Never"}
    execution = aws.run({"Which": {"Type": "Choice", "Choices": [rule]}, "Never": {"Type": "Succeed"}})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.NoChoiceMatched")


def test_a_condition_that_is_no_boolean(aws: ScriptedAws) -> None:
    """States.QueryEvaluationError, not a guess."""
    rule = {"Condition": "{% 'yes' %}", "Next": "End"}
    execution = aws.run({"Which": {"Type": "Choice", "Choices": [rule]}, "End": {"Type": "Succeed"}})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.QueryEvaluationError")
    assert "Expected a boolean" in execution["cause"]


def test_fail_with_computed_error_and_cause(aws: ScriptedAws) -> None:
    """Error and Cause of Fail are evaluated."""
    states = {"No": fail("{% $states.input.kind & 'Error' %}", "{% $string($states.input) %}")}
    execution = aws.run(states, {"kind": "Algorithm"})
    assert (execution["status"], execution["error"]) == ("FAILED", "AlgorithmError")
    assert json.loads(execution["cause"]) == {"kind": "Algorithm"}


# --- Retry and Catch --------------------------------------------------------------------------------------------------
def test_retry_counts_in_the_context_object(aws: ScriptedAws) -> None:
    """Each attempt sees its own RetryCount, so names differ; the last one succeeds."""
    prefix = aws.unique("attempt")
    task = aws.task(
        f"{{% '{prefix}-' & $states.context.State.RetryCount %}}",
        {"EXIT_CODE": "{% $states.context.State.RetryCount < 2 ? '1' : '0' %}"},
        Retry=[{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 3}],
    )
    result = aws.output({"Run": task})
    assert result["ProcessingJobName"] == f"{prefix}-2"
    assert [aws.job_status(f"{prefix}-{n}") for n in range(3)] == ["Failed", "Failed", "Completed"]


def test_retry_delays(aws: ScriptedAws) -> None:
    """Delays grow by BackoffRate up to MaxDelaySeconds; a busy machine makes them longer, but not as long as uncut."""
    retry = {"ErrorEquals": ["Bad"], "IntervalSeconds": 1, "BackoffRate": 3, "MaxDelaySeconds": 2, "MaxAttempts": 3}
    execution = aws.run({"P": parallel({"No": fail("Bad")}, Retry=[retry])})
    entered = [
        event["timestamp"] for event in aws.history(execution["executionArn"]) if event["type"] == "FailStateEntered"
    ]
    delays = [(after - before).total_seconds() for before, after in itertools.pairwise(entered)]
    assert execution["error"] == "Bad"
    for delay, shortest, too_long in zip(delays, (1, 2, 2), (2, 3, 9), strict=True):
        assert shortest - 0.05 <= delay < too_long


@pytest.mark.load_dependent
def test_full_jitter_shortens_delays(aws: ScriptedAws) -> None:
    """JitterStrategy FULL takes a delay between nothing and the whole."""
    retry = {"ErrorEquals": ["Bad"], "IntervalSeconds": 4, "MaxAttempts": 1, "JitterStrategy": "FULL"}
    branches = [
        {
            f"P{n}": parallel(
                {f"No{n}": fail("Bad")}, Retry=[retry], Catch=[{"ErrorEquals": ["States.ALL"], "Next": f"D{n}"}]
            ),
            f"D{n}": {"Type": "Succeed"},
        }
        for n in range(6)
    ]
    execution = aws.run({"All": parallel(*branches)})
    assert execution["status"] == "SUCCEEDED", execution
    retried = [
        event["timestamp"] for event in aws.history(execution["executionArn"]) if event["type"] == "FailStateEntered"
    ][6:]
    delays = [(moment - execution["startDate"]).total_seconds() for moment in retried]
    assert len(delays) == 6
    assert max(delays) < 4.5
    assert max(delays) - min(delays) > 0.2


MATCHES = [
    ("States.TaskFailed", ["States.TaskFailed"], True),
    ("States.TaskFailed", ["States.ALL"], True),
    ("AlgorithmError", ["States.TaskFailed"], True),
    ("AlgorithmError", ["ClientError", "AlgorithmError"], True),
    ("AlgorithmError", ["ClientError"], False),
    ("States.Timeout", ["States.TaskFailed"], False),
    ("States.Timeout", ["States.ALL"], True),
    ("States.Permissions", ["States.TaskFailed"], True),
    ("States.Runtime", ["States.ALL"], False),
    ("States.DataLimitExceeded", ["States.ALL"], False),
    ("States.DataLimitExceeded", ["States.DataLimitExceeded"], True),
]


@pytest.mark.parametrize(("error", "error_equals", "caught"), MATCHES)
def test_what_catch_matches(aws: ScriptedAws, error: str, error_equals: list[str], caught: bool) -> None:
    """Wildcards stand for what AWS documents, also for errors that come out of a branch."""
    catch = [{"ErrorEquals": error_equals, "Next": "Caught"}]
    execution = aws.run({"P": parallel({"No": fail(error)}, Catch=catch), "Caught": {"Type": "Succeed"}})
    assert execution["status"] == ("SUCCEEDED" if caught else "FAILED"), execution
    if not caught:
        assert execution["error"] == error


def test_catch_with_assign_and_output(aws: ScriptedAws) -> None:
    """A catcher sees ``$states.errorOutput``, assigns and makes the next state's input."""
    catch = {
        "ErrorEquals": ["States.TaskFailed"],
        "Assign": {"reason": "{% $parse($states.errorOutput.Cause).FailureReason %}"},
        "Output": {"kept": "{% $states.input.kept %}", "error": "{% $states.errorOutput.Error %}"},
        "Next": "After",
    }
    states = {
        "Run": aws.task(aws.unique("caught"), {"EXIT_CODE": "4"}, Catch=[catch]),
        "After": {"Type": "Pass", "Output": {"in": "{% $states.input %}", "reason": "{% $reason %}"}, "End": True},
    }
    result = aws.output(states, {"kept": 1})
    assert result["in"] == {"kept": 1, "error": "States.TaskFailed"}
    assert result["reason"].startswith("AlgorithmError")


# --- Wait -------------------------------------------------------------------------------------------------------------
def seconds_of(execution: dict[str, Any]) -> float:
    return float((execution["stopDate"] - execution["startDate"]).total_seconds())


def test_wait_seconds_from_an_expression(aws: ScriptedAws) -> None:
    """Seconds may be computed."""
    execution = aws.run({"W": {"Type": "Wait", "Seconds": "{% $states.input.s %}", "End": True}}, {"s": 1})
    assert execution["status"] == "SUCCEEDED", execution
    assert 1 <= seconds_of(execution) < 60


@pytest.mark.parametrize("seconds", ["1", 0.5, -1, None])
def test_wait_seconds_must_be_a_whole_number(aws: ScriptedAws, seconds: Any) -> None:
    """Anything else is States.QueryEvaluationError."""
    execution = aws.run({"W": {"Type": "Wait", "Seconds": "{% $states.input.s %}", "End": True}}, {"s": seconds})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.QueryEvaluationError")


@pytest.mark.parametrize("language", ["JSONata", "JSONPath"])
def test_wait_until_a_timestamp(aws: ScriptedAws, language: str) -> None:
    """A timestamp is a moment in UTC whatever the time zone of the machine."""
    moment = (datetime.now(UTC) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    field = {"Timestamp": "{% $states.input.t %}"} if language == "JSONata" else {"TimestampPath": "$.t"}
    execution = aws.run({"W": {"Type": "Wait", "End": True, **field}}, {"t": moment}, QueryLanguage=language)
    assert execution["status"] == "SUCCEEDED", execution
    late = execution["stopDate"] - datetime.fromisoformat(moment)
    assert timedelta(seconds=-0.1) < late < timedelta(seconds=60)


# --- Parallel and Map -------------------------------------------------------------------------------------------------
def test_parallel_gives_the_outputs_in_order(aws: ScriptedAws) -> None:
    """Branch outputs are a list in the order of the branches, whoever is first."""
    slow = {"W": {"Type": "Wait", "Seconds": 1, "Next": "A"}, "A": {"Type": "Pass", "Output": "a", "End": True}}
    quick = {"B": {"Type": "Pass", "Output": "{% $states.input.b %}", "End": True}}
    assert aws.output({"P": parallel(slow, quick, Output="{% $states.result %}")}, {"b": "b"}) == ["a", "b"]


def test_branches_see_outer_variables_and_keep_theirs(aws: ScriptedAws) -> None:
    """Variables of a branch are not seen outside."""
    states = {
        "Set": {"Type": "Pass", "Assign": {"outer": 1}, "Next": "P"},
        "P": parallel(
            {
                "In": {"Type": "Pass", "Assign": {"inner": "{% $outer + 1 %}"}, "Next": "Out"},
                "Out": {"Type": "Pass", "Output": "{% $inner %}", "End": True},
            },
            Next="Look",
        ),
        "Look": {"Type": "Pass", "Output": ["{% $states.input %}", "{% $exists($inner) %}"], "End": True},
    }
    assert aws.output(states) == [[2], False]


def test_parallel_is_retried_as_a_whole(aws: ScriptedAws) -> None:
    """A retrier of Parallel takes the error of the branch and runs all branches again."""
    retry = [{"ErrorEquals": ["Bad"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    good = {"Good": {"Type": "Pass", "End": True}}
    execution = aws.run({"P": parallel(good, {"No": fail("Bad")}, Retry=retry)})
    types = aws.event_types(execution["executionArn"])
    assert execution["error"] == "Bad"
    assert (types.count("PassStateEntered"), types.count("FailStateEntered")) == (2, 2)
    assert types.count("ParallelStateEntered") == 1


def test_map(aws: ScriptedAws) -> None:
    """Items run with their index and value, in order, at most MaxConcurrency at a time."""
    states = {
        "Each": {
            "Type": "Map",
            "Items": "{% $states.input.items %}",
            "MaxConcurrency": 2,
            "ItemSelector": {
                "value": "{% $states.context.Map.Item.Value %}",
                "index": "{% $states.context.Map.Item.Index %}",
            },
            "ItemProcessor": {
                "StartAt": "Join",
                "States": {
                    "Join": {
                        "Type": "Pass",
                        "Output": "{% $states.input.value & $string($states.input.index) %}",
                        "End": True,
                    }
                },
            },
            "End": True,
        }
    }
    assert aws.output(states, {"items": ["a", "b", "c"]}) == ["a0", "b1", "c2"]
    assert aws.output(states, {"items": []}) == []


def test_jsonpath_machines_run_too(aws: ScriptedAws) -> None:
    """A machine in JSONPath, as others write it, with a job's result placed by ResultPath."""
    task = aws.task(aws.unique("path"))
    arguments = task.pop("Arguments")
    del arguments["ProcessingJobName"]
    states = {
        "Run": task | {"Parameters": arguments | {"ProcessingJobName.$": "$.name"}, "ResultPath": "$.job"},
        "Done": {"Type": "Pass", "Parameters": {"status.$": "$.job.ProcessingJobStatus"}, "End": True},
    }
    states["Run"].pop("End")
    states["Run"]["Next"] = "Done"
    result = aws.output(states, {"name": aws.unique("path-job")}, QueryLanguage="JSONPath")
    assert result == {"status": "Completed"}
