"""Fields of definitions: every problem is named with its place, in the words of Step Functions."""

from __future__ import annotations

from typing import Any

import pytest

from stepbridge_local.services.stepfunctions.definition_checks import field_problems

TASK = "arn:aws:states:::aws-sdk:sqs:listQueues"
INNER = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}
DISTRIBUTED = {**INNER, "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}}


def machine(state: dict[str, Any], **top: Any) -> dict[str, Any]:
    return {"StartAt": "A", "States": {"A": {"End": True, **state}}, **top}


def found(definition: Any) -> list[str]:
    return [str(problem).removeprefix("SCHEMA_VALIDATION_FAILED: ") for problem in field_problems(definition)]


PROBLEMS: list[tuple[dict[str, Any], str]] = [
    (machine({"Type": "Pass", "Resultt": 1}), "Field 'Resultt' is not supported (did you mean 'Result'?) at /States/A"),
    (machine({"Type": "Passs"}), "Value is not valid: \"Passs\". 'Type' must be one of"),
    (machine({}), "Value is not valid: null. 'Type' must be one of"),
    (machine({"Type": "Pass", "End": "yes"}), "Expected value of type Boolean at /States/A/End"),
    (machine({"Type": "Task"}), "These fields are required: [Resource] at /States/A"),
    (machine({"Type": "Wait"}), "One of the following fields is required: [Seconds, SecondsPath, "),
    (
        machine({"Type": "Wait", "Seconds": 1, "Timestamp": "x"}),
        "only be one of the following fields: [Seconds, Timestamp",
    ),
    (machine({"Type": "Wait", "Seconds": -1}), "Minimum value is 0 at /States/A/Seconds"),
    (machine({"Type": "Wait", "Seconds": "5"}), "Expected value of type Integer at /States/A/Seconds"),
    (
        machine({"Type": "Pass", "InputPath": "a"}),
        "not a valid JSONPath: it must begin with '$' at /States/A/InputPath",
    ),
    (machine({"Type": "Pass"}, Comment={}), "Expected value of type String at /Comment"),
    (machine({"Type": "Pass"}, Foo=1), "Field 'Foo' is not supported (supported: Comment, QueryLanguage, StartAt"),
    (machine({"Type": "Pass"}, Version="2.0"), 'Value is not valid: "2.0". Expected one of [1.0] at /Version'),
    (
        machine({"Type": "Pass", "Output": 1}),
        "set to 'JSONPath', but field 'Output' is only supported for the 'JSONata'",
    ),
    (
        machine({"Type": "Pass", "Parameters": {}}, QueryLanguage="JSONata"),
        "set to 'JSONata', but field 'Parameters' is only supported for the 'JSONPath'",
    ),
    (
        machine({"Type": "Pass", "QueryLanguage": "JSONPath"}, QueryLanguage="JSONata"),
        "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/A",
    ),
    (
        machine({"Type": "Map", "ItemProcessor": {**INNER, "QueryLanguage": "JSONata"}}),
        "Field 'QueryLanguage' is not supported",
    ),
    (machine({"Type": "Map", "ItemProcessor": INNER, "ItemBatcher": {}}), "'ItemBatcher' is only supported for"),
    (machine({"Type": "Map", "ItemProcessor": DISTRIBUTED, "ResultWriter": {}}), "'ResultWriter' needs 'WriterConfig'"),
    (
        machine({"Type": "Map", "ItemProcessor": DISTRIBUTED, "ToleratedFailurePercentage": 101}),
        "Maximum value is 100.0 at /States/A/ToleratedFailurePercentage",
    ),
    (
        machine({"Type": "Map", "ItemProcessor": DISTRIBUTED, "ItemBatcher": {"MaxItemsPerBatch": 1, "Size": 2}}),
        "Field 'Size' is not supported",
    ),
    (
        machine(
            {
                "Type": "Map",
                "ItemProcessor": DISTRIBUTED,
                "ItemReader": {"Resource": "x", "ReaderConfig": {"MaxItems": 1, "MaxItemsPath": "$.n"}},
            }
        ),
        "only be one of the following fields: [MaxItems, MaxItemsPath] at /States/A/ItemReader/ReaderConfig",
    ),
    (
        machine({"Type": "Task", "Resource": TASK, "Retry": [{"ErrorEquals": ["States.ALL", "X"]}]}),
        "'States.ALL' must be the only element in 'ErrorEquals' at /States/A/Retry[0]/ErrorEquals",
    ),
    (
        machine({"Type": "Task", "Resource": TASK, "Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["X"]}]}),
        "'States.ALL' must be in the last element of 'Retry'",
    ),
    (
        machine({"Type": "Task", "Resource": TASK, "Retry": [{"ErrorEquals": ["X"], "MaxAttempts": "3"}]}),
        "Expected value of type Integer at /States/A/Retry[0]/MaxAttempts",
    ),
    (
        {
            "StartAt": "A",
            "States": {"A": {"Type": "Choice", "Choices": [{"Variable": "$", "StringEqual": "x", "Next": "A"}]}},
        },
        "did you mean 'StringEquals'?",
    ),
    ({"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": []}}}, "Array must have at least 1 element"),
    ({"StartAt": "A"}, "These fields are required: [States] at /"),
    (machine({"Type": "Pass", "Catch": []}), "Field 'Catch' is not supported"),
    (machine({"Type": "Parallel", "Branches": [machine({"Type": "Nap"})]}), "at /States/A/Branches[0]/States/A/Type"),
]


@pytest.mark.parametrize(("definition", "text"), PROBLEMS, ids=[row[1][:60] for row in PROBLEMS])
def test_a_problem_names_the_field_and_its_place(definition: dict[str, Any], text: str) -> None:
    """One problem, and no word of a grammar."""
    (problem,) = found(definition)
    assert text in problem


def test_all_problems_are_found_at_once() -> None:
    """Not only the first."""
    states = {"A": {"Type": "Pass", "Foo": 1, "Next": "B"}, "B": {"Type": "Wait", "End": 1, "Seconds": "x"}}
    assert len(found({"StartAt": "A", "States": states})) == 3


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Map", "ItemProcessor": DISTRIBUTED, "ToleratedFailurePercentage": 5, "Label": "x"},
        {"Type": "Map", "ItemProcessor": DISTRIBUTED, "ItemReader": {"Resource": "x", "ReaderConfig": {}}},
        {"Type": "Map", "QueryLanguage": "JSONata", "Items": "{% [1] %}", "ItemProcessor": INNER},
        {"Type": "Wait", "QueryLanguage": "JSONata", "Seconds": "{% 1 %}"},
        {"Type": "Task", "Resource": TASK, "Retry": [{"ErrorEquals": ["States.Whatever"], "BackoffRate": 2}]},
        {"Type": "Pass", "ResultPath": None, "InputPath": None, "OutputPath": "$$.Execution"},
    ],
)
def test_what_step_functions_takes(state: dict[str, Any]) -> None:
    """Nothing is found."""
    assert found(machine(state)) == []
