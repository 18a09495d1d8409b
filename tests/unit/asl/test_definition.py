"""A definition is loaded whole or refused with every problem, each at its JSON path."""

import copy
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.asl.validation import load_definition, validate_definition
from stepbridge.errors import DefinitionError

SOURCE = Path(__file__).parents[3] / "asl" / "batch_inference.asl.json"
SOUND = {
    "QueryLanguage": "JSONata",
    "StartAt": "Work",
    "States": {
        "Work": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
            "TimeoutSeconds": 60,
            "Retry": [{"ErrorEquals": ["ThrottlingException"], "MaxAttempts": 3}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Both"}],
            "Next": "Which?",
        },
        "Which?": {"Type": "Choice", "Choices": [{"Condition": "{% $x %}", "Next": "Later"}], "Default": "Good"},
        "Later": {"Type": "Wait", "Seconds": "{% 3 %}", "Next": "Good"},
        "Good": {"Type": "Succeed", "Output": {"a": "{% $x %}"}},
        "Both": {
            "Type": "Parallel",
            "Branches": [{"StartAt": "Bad", "States": {"Bad": {"Type": "Fail", "Error": "X"}}}],
            "End": True,
        },
    },
}


def changed(path, value):
    """The sound definition with the value at the path replaced, or removed for None."""
    definition = copy.deepcopy(SOUND)
    place = definition
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return definition


def test_sound_definitions_have_no_problem():
    """The project's own state machine and the small one of this module."""
    assert validate_definition(SOUND) == []
    assert load_definition(SOURCE.read_text(encoding="utf-8"), "x")["StartAt"] == "Prepare"


STATES = "States"


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (["StartAt"], "Wrok", "$.StartAt: no state 'Wrok'"),
        (["Timeout"], 3, "$.Timeout: unknown key"),
        (["TimeoutSeconds"], 0, "$.TimeoutSeconds: 0; expected a number of seconds from 1 to 99999999"),
        (["QueryLanguage"], "SQL", "$.QueryLanguage: 'SQL'; expected JSONPath or JSONata"),
        (["States"], {}, "$.States: no states; expected an object of at least one state"),
        ([STATES, "Good", "Type"], "Success", "$.States['Good'].Type: 'Success'; expected one of Task, Parallel"),
        ([STATES, "Good", "Next"], "Work", "$.States['Good'].Next: unknown key"),
        ([STATES, "Work", "Next"], "Good?", "$.States['Work'].Next: no state 'Good?'; expected one of"),
        ([STATES, "Work", "Next"], None, "$.States['Work']: neither Next nor End; expected one of the two"),
        ([STATES, "Work", "End"], True, "$.States['Work']: both Next and End; expected one of the two"),
        ([STATES, "Work", "Parameters"], {}, "$.States['Work'].Parameters: unknown key; expected one of Arguments"),
        ([STATES, "Work", "QueryLanguage"], "JSONPath", "$.States['Work'].QueryLanguage: 'JSONPath'; expected JSONata"),
        ([STATES, "Work", "Resource"], "lambda", "$.States['Work'].Resource: 'lambda'; expected an ARN"),
        ([STATES, "Work", "TimeoutSeconds"], None, "$.States['Work']: a Task without TimeoutSeconds; expected one"),
        ([STATES, "Work", "TimeoutSeconds"], "60", "['Work'].TimeoutSeconds: '60'; expected a number of seconds"),
        ([STATES, "Work", "Retry", 0, "MaxAttempts"], -1, "Retry[0].MaxAttempts: -1; expected a number"),
        ([STATES, "Work", "Retry", 0, "MaxDelaySeconds"], 1, "Retry[0].MaxDelaySeconds: 1; expected more than"),
        ([STATES, "Work", "Retry", 0, "JitterStrategy"], "SOME", "Retry[0].JitterStrategy: 'SOME'; expected FULL or"),
        ([STATES, "Work", "Retry", 0, "Max"], 1, "$.States['Work'].Retry[0].Max: unknown key"),
        ([STATES, "Work", "Retry"], {}, "$.States['Work'].Retry: a dict; expected a list"),
        ([STATES, "Work", "Catch", 0, "ErrorEquals"], [], "$.States['Work'].Catch[0].ErrorEquals: []; expected a list"),
        (
            [STATES, "Work", "Catch", 0, "ErrorEquals"],
            ["States.ALL", "X"],
            "$.States['Work'].Catch[0].ErrorEquals: States.ALL beside or before others",
        ),
        ([STATES, "Work", "Catch", 0, "Next"], "No", "$.States['Work'].Catch[0].Next: no state 'No'"),
        ([STATES, "Which?", "Choices"], [], "$.States['Which?'].Choices: no rules"),
        ([STATES, "Which?", "Choices", 0, "Condition"], "x", "$.States['Which?'].Choices[0].Condition: 'x'"),
        ([STATES, "Which?", "Choices", 0, "Variable"], "$", "$.States['Which?'].Choices[0].Variable: unknown key"),
        ([STATES, "Later", "Timestamp"], "x", "$.States['Later']: a Wait with Seconds, Timestamp"),
        ([STATES, "Good", "Output", "a"], "is {% $x %}", "$.States['Good'].Output.a: 'is {% $x %}'; expected the"),
        ([STATES, "Good", "Output", "a"], "{% %}", "$.States['Good'].Output.a: an empty expression"),
        ([STATES, "Both", "Branches"], [], "$.States['Both'].Branches: no branches"),
        ([STATES, "Both", "Branches", 0, "StartAt"], "X", "$.States['Both'].Branches[0].StartAt: no state 'X'"),
        ([STATES, "Both", "Branches", 0, "Foo"], "X", "$.States['Both'].Branches[0].Foo: unknown key"),
        (
            [STATES, "Both", "Branches", 0, STATES, "Good"],
            {"Type": "Succeed"},
            "$.States['Both'].Branches[0].States['Good']: the name stands at $.States too",
        ),
        ([STATES, "Lost"], {"Type": "Succeed"}, "$.States['Lost']: no state leads here; remove it or lead to it"),
        ([STATES, "Later", "Next"], "Later", "$.States['Later']: no way from here to an end"),
        ([STATES, "x" * 81], {"Type": "Succeed"}, "a name of 81 characters; expected at most 80"),
        ([STATES, "Later"], "x", "$.States['Later']: a str; expected an object"),
        ([STATES, "Both"], {"Type": "Map", "End": True}, "$.States['Both']: a Map without ItemProcessor"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_path(path, value, problem):
    """Each rule is broken once."""
    found = [str(each) for each in validate_definition(changed(path, value), "my.asl.json")]
    assert any(problem in text for text in found), found
    assert all(text.startswith("my.asl.json $") for text in found)


def test_all_problems_at_once():
    """A definition with three mistakes is refused with three problems, and the error survives pickling."""
    definition = changed(["States", "Work", "Next"], "Nowhere")
    definition["Startat"] = definition.pop("StartAt")
    with pytest.raises(DefinitionError) as caught:
        load_definition(json.dumps(definition), "x.asl.json")
    error = pickle.loads(pickle.dumps(caught.value))
    assert [problem.where for problem in error.problems][:3] == [
        "x.asl.json $.Startat",
        "x.asl.json $.StartAt",
        "x.asl.json $.States['Work'].Next",
    ]
    assert error.problems[0].remedy == "did you mean StartAt or States?"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{\n  "a": 1,,\n}', "x:2:10: Expecting property name enclosed in double quotes; expected a JSON document"),
        ('{"a": 1, "a": 2}', "x: the key 'a' comes twice beside a; expected each key once in an object"),
        ("", "x:1:1: Expecting value; expected a JSON document"),
        ("[]", "x $: a list; expected an object with StartAt and States"),
    ],
)
def test_texts_that_are_no_definition(text, problem):
    """The line and column at which the text is no longer JSON."""
    with pytest.raises(DefinitionError) as caught:
        load_definition(text, "x")
    assert str(caught.value.problems[0]).splitlines()[0] == problem


def paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*path, key))


@given(st.sampled_from([path for path in paths(SOUND) if path]), st.sampled_from([None, 1, "x", [], {}, [1], True]))
def test_no_definition_breaks_the_validator(path, value):
    """Whatever stands where it should not, the answer is a list of problems."""
    assert isinstance(validate_definition(changed(path, value)), list)
