"""Histories of evaluations that fail, and the texts in them: as AWS records them, in JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import ScriptedAws

ITERATION = {"StartAt": "Each", "States": {"Each": {"Type": "Pass", "End": True}}}


def each(**members: Any) -> dict[str, Any]:
    return {"Type": "Map", "ItemProcessor": ITERATION, "End": True, **members}


def failed_evaluation(aws: ScriptedAws, states: dict[str, Any], given: Any = None) -> tuple[list[str], dict[str, Any]]:
    """The types of the events, and the one event that tells of the evaluation."""
    history = aws.history(aws.run(states, given)["executionArn"])
    (event,) = (event for event in history if event["type"] == "EvaluationFailed")
    return [one["type"] for one in history], event


@pytest.mark.parametrize(
    ("member", "location"),
    [
        ({"Output": {"outer": {"inner": "{% $nowhere %}"}}}, "Output/outer/inner"),
        ({"Output": {"first": "{% 1 %}", "second": "{% $nowhere %}"}}, "Output/second"),
        ({"Assign": {"name": "{% $nowhere %}"}}, "Assign/name"),
        ({"Assign": {"name": {"inner": ["{% $nowhere %}"]}}}, "Assign/name/inner"),
        ({"Output": "{% $nowhere %}"}, "Output"),
    ],
)
def test_a_failing_expression_is_located_by_its_path(aws: ScriptedAws, member: dict[str, Any], location: str) -> None:
    """The names of the members that lead to the expression, from the state's field on; in the cause too."""
    _, event = failed_evaluation(aws, {"Compute": {"Type": "Pass", "End": True, **member}})
    assert event["evaluationFailedEventDetails"]["location"] == location
    assert f"specified for the field '{location}'" in event["evaluationFailedEventDetails"]["cause"]


def test_arguments_of_a_task_are_located_too(aws: ScriptedAws) -> None:
    """A task's Arguments are objects like any other."""
    _, event = failed_evaluation(aws, {"Run": aws.task("{% $nowhere %}")})
    assert event["evaluationFailedEventDetails"]["location"] == "Arguments/ProcessingJobName"


def test_a_failed_evaluation_follows_what_came_before_its_state(aws: ScriptedAws) -> None:
    """previousEventId is the exit of the state before, or 0 in the first state, and not the state's own entry."""
    failing = {"Type": "Pass", "Output": "{% $nowhere %}", "End": True}
    _, event = failed_evaluation(aws, {"First": failing})
    assert (event["id"], event["previousEventId"]) == (3, 0)
    _, event = failed_evaluation(aws, {"First": {"Type": "Pass", "Next": "Second"}, "Second": failing})
    assert (event["id"], event["previousEventId"]) == (5, 3)


VALUES = [(1.5, "number", "1.5"), ('a"b', "string", '"a\\"b"'), (True, "boolean", "true"), (None, "null", "null")]
VALUES = [*VALUES, ({"k": [None, False]}, "object", '{"k":[null,false]}')]


@pytest.mark.parametrize(("value", "kind", "text"), VALUES)
def test_items_that_are_no_array(aws: ScriptedAws, value: Any, kind: str, text: str) -> None:
    """Told once, with the value and its type as JSON has them; then the Map state fails."""
    types, event = failed_evaluation(aws, {"Go": each(Items="{% $states.input.it %}")}, {"it": value})
    assert types == ["ExecutionStarted", "MapStateEntered", "EvaluationFailed", "MapStateFailed", "ExecutionFailed"]
    assert event["evaluationFailedEventDetails"]["location"] == "Items"
    assert event["evaluationFailedEventDetails"]["cause"].endswith(f"'array', but was '{kind}' for value: {text}")


@pytest.mark.parametrize(("value", "text"), [(value, text) for value, _, text in VALUES])
def test_a_map_whose_input_is_no_array(aws: ScriptedAws, value: Any, text: str) -> None:
    """Without Items the state's input is the array; the cause has it in JSON, and no field is to blame."""
    before = {"Type": "Pass", "Output": "{% $states.input.it %}", "Next": "Go"}
    types, event = failed_evaluation(aws, {"Before": before, "Go": each()}, {"it": value})
    assert types[-4:] == ["MapStateEntered", "EvaluationFailed", "MapStateFailed", "ExecutionFailed"]
    assert event["evaluationFailedEventDetails"]["cause"].endswith(f"must be an array but was: {text}")
    assert "location" not in event["evaluationFailedEventDetails"]


def test_an_output_that_fails_behind_a_map_is_told(aws: ScriptedAws) -> None:
    """A Map tells of its attempts itself; what fails after them is told as for any other state."""
    types, event = failed_evaluation(aws, {"Go": each(Items=[1], Output="{% $nowhere %}")})
    assert types[-1] == "ExecutionFailed"
    assert event["evaluationFailedEventDetails"]["location"] == "Output"


def test_a_path_without_a_match_shows_its_input_as_json(aws: ScriptedAws) -> None:
    """The input in the cause can be read by any JSON parser."""
    states = {"P": {"Type": "Pass", "QueryLanguage": "JSONPath", "Parameters": {"v.$": "$.nowhere"}, "End": True}}
    arn = aws.create(json.dumps({"StartAt": "P", "States": states}))
    cause = aws.end(aws.start(arn, {"it's": [None, True, "é"]}))["cause"]
    assert cause.endswith("""could not be found in the input '{"it's":[null,true,"é"]}'""")
