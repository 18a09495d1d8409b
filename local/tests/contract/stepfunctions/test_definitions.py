"""Definitions that Step Functions takes or refuses, and the members of state machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.contract.stepfunctions.conftest import ScriptedAws

ROLE_ARN = "arn:aws:iam::123456789012:role/states"
PASS = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:/states:*"


def evaluated(aws: ScriptedAws, state: dict[str, Any], execution_input: Any = None, **top: Any) -> Any:
    definition = {"StartAt": "A", "States": {"A": {"End": True, **state}}, **top}
    execution = aws.end(aws.start(aws.create(json.dumps(definition)), execution_input))
    return json.loads(execution["output"]) if execution["status"] == "SUCCEEDED" else execution


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("States.Format('one\ntwo {}', $.a)", "one\ntwo x"),
        ("States.Format('tab\t{}\r\n', $.a)", "tab\tx\r\n"),
        ("States.StringSplit($.lines, '\n')", ["1", "2"]),
        ("States.StringToJson('{\"k\":\n1}')", {"k": 1}),
        ("States.Array(\n  1,\n  'a\nb'\n)", [1, "a\nb"]),
        ("States.Format('\\n is a line feed too: {}', $.a)", "\n is a line feed too: x"),
    ],
)
def test_line_feeds_in_intrinsic_functions(aws: ScriptedAws, call: str, expected: Any) -> None:
    """Real ones, as editors write them, and escaped ones."""
    assert evaluated(aws, {"Type": "Pass", "Parameters": {"r.$": call}}, {"a": "x", "lines": "1\n2"}) == {"r": expected}


@pytest.mark.parametrize(
    "name",
    ["States.Http.Socket", "States.DataLimitExceeded", "States.ItemReaderFailed", "States.Anything", "Own.Error"],
)
def test_any_error_name_can_be_retried_and_caught(aws: ScriptedAws, name: str) -> None:
    """AWS takes all names that begin with ``States.``, also ones that it does not have."""
    rule = {"ErrorEquals": [name]}
    state = {
        "Type": "Parallel",
        "Branches": [{"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": name}}}],
        "Retry": [{**rule, "MaxAttempts": 0}],
        "Catch": [{**rule, "Next": "C"}],
        "End": True,
    }
    definition = {"StartAt": "A", "States": {"A": state, "C": {"Type": "Pass", "Result": "caught", "End": True}}}
    execution = aws.end(aws.start(aws.create(json.dumps(definition))))
    assert execution["output"] == '"caught"'


def test_states_in_a_map_have_the_language_of_the_state_machine(aws: ScriptedAws) -> None:
    """JSONPath inside a JSONata Map, and JSONata inside a JSONPath one; nothing is inherited from the Map."""

    def mapped(inner: dict[str, Any], **members: Any) -> Any:
        processor = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True, **inner}}}
        return evaluated(aws, {"Type": "Map", "ItemProcessor": processor, **members}, {"a": [1, 2]})

    jsonata = {"QueryLanguage": "JSONata", "Items": "{% $states.input.a %}"}
    assert mapped({"Parameters": {"v.$": "$"}}, **jsonata) == [{"v": 1}, {"v": 2}]
    increment = {"QueryLanguage": "JSONata", "Output": "{% $states.input + 1 %}"}
    assert mapped(increment, ItemsPath="$.a") == [2, 3]
    assert mapped(increment, **jsonata) == [2, 3]
    with pytest.raises(ClientError, match="field 'Output' is only supported for the 'JSONata' QueryLanguage"):
        mapped({"Output": 1}, **jsonata)


def test_all_problems_in_diagnostics(aws: ScriptedAws) -> None:
    """With code and place, up to ``maxResults``; ``type`` counts; CreateStateMachine says the same."""
    states = {
        "A": {"Type": "Pass", "Foo": 1, "Next": "X"},
        "B": {"Type": "Wait", "Seconds": "5", "End": True},
    }
    definition = json.dumps({"StartAt": "A", "States": states})
    found = aws.sfn.validate_state_machine_definition(definition=definition)
    assert (found["result"], found["truncated"]) == ("FAIL", False)
    assert [(one["code"], one["location"]) for one in found["diagnostics"]] == [
        ("SCHEMA_VALIDATION_FAILED", "/States/A"),
        ("SCHEMA_VALIDATION_FAILED", "/States/B/Seconds"),
        ("MISSING_TRANSITION_TARGET", "/States/A/Next"),
        ("MISSING_TRANSITION_TARGET", "/States/B"),
    ]
    first = aws.sfn.validate_state_machine_definition(definition=definition, maxResults=1)
    assert (len(first["diagnostics"]), first["truncated"]) == (1, True)
    with pytest.raises(ClientError) as caught:
        aws.create(definition)
    message = str(caught.value)
    assert all(f"{one['code']}: {one['message']} at {one['location']}" in message for one in found["diagnostics"])
    sync = json.dumps({"StartAt": "A", "States": {"A": aws.task("x")}, "QueryLanguage": "JSONata"})
    assert aws.sfn.validate_state_machine_definition(definition=sync)["result"] == "OK"
    assert aws.sfn.validate_state_machine_definition(definition=sync, type="EXPRESS")["result"] == "FAIL"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (
            {"Type": "Pass", "Parameters": {"a.$": "States.Foo(1)"}},
            "States.Foo(1): the intrinsic function call is not valid",
        ),
        (
            {"Type": "Pass", "Parameters": {"a.$": "States.Format('x"}},
            "'a.$' must be a valid JSONPath or a valid intrinsic",
        ),
        ({"Type": "Pass", "Parameters": {"a.$": "$.[x"}}, "'a.$' must be a valid JSONPath or a valid intrinsic"),
        ({"Type": "Pass", "InputPath": "$.[x"}, "/States/A/InputPath"),
        ({"Type": "Pass", "Parameters": {"a.$": "States.ArrayRange(1)"}}, "States.ArrayRange(1): Expected 3 arguments"),
        ({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke"}, "Resource: the local AWS cannot run tasks of"),
        ({"Type": "Map", "Label": "a b", "ItemProcessor": {}}, "Label"),
    ],
)
def test_a_refusal_names_the_member_and_no_grammar(aws: ScriptedAws, state: dict[str, Any], text: str) -> None:
    """None of the parser's tokens, and no class of Python."""
    with pytest.raises(ClientError) as caught:
        aws.create(json.dumps({"StartAt": "A", "States": {"A": {"End": True, **state}}}))
    message = str(caught.value)
    assert text in message
    assert not [
        word for word in ("ASLParser", "mismatched", "<class", "expecting {", "token recognition") if word in message
    ]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (
            {"Type": "Map", "ItemsPath": "$.o", "ItemProcessor": json.loads(PASS)},
            'Reference path "$.o" must point to array.',
        ),
        ({"Type": "Pass", "Parameters": {"a.$": "$.none"}}, """could not be found in the input '{"o":{"x":null}}'"""),
        ({"Type": "Pass", "Parameters": {"a.$": "States.ArrayLength($.o)"}}, "States.ArrayLength($.o)"),
    ],
)
def test_texts_of_failures_are_json(aws: ScriptedAws, state: dict[str, Any], text: str) -> None:
    """Values as JSON without spaces, never as Python writes them."""
    failed = evaluated(aws, state, {"o": {"x": None}})
    assert text in failed["cause"]
    assert not [word for word in ("<class", "None", "'x'") if word in failed["cause"]]


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        (
            {"Type": "Choice", "Choices": [{"Variable": "$.none", "NumericEquals": 1, "Next": "B"}], "Default": "B"},
            "States.Runtime",
            "Invalid path '$.none': The choice state's condition path references an invalid value.",
        ),
        (
            {"Type": "Pass", "Result": 1, "ResultPath": "$.t.x", "End": True},
            "States.ResultPathMatchFailure",
            'Unable to apply ReferencePath $.t.x to input {"t":"text","o":{"x":null}}',
        ),
        ({"Type": "Fail", "ErrorPath": "$.o"}, "States.Runtime", '$.o == {"x":null}'),
        ({"Type": "Fail", "Error": "E", "CausePath": "$.o"}, "States.Runtime", '$.o == {"x":null}'),
        ({"Type": "Wait", "TimestampPath": "$.o", "End": True}, "States.Runtime", '$.o == {"x":null}'),
        (
            {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:sqs:listQueues",
                "TimeoutSecondsPath": "$.t",
                "End": True,
            },
            "States.Runtime",
            "TimeoutSecondsPath parameter cannot be parsed as a positive long value: $.t == text",
        ),
        (
            {"Type": "Pass", "Parameters": {"a.$": "$$.Task.Token"}, "End": True},
            "States.Runtime",
            '"Input":{"t":"text","o"',
        ),
    ],
)
def test_values_that_do_not_fit(aws: ScriptedAws, state: dict[str, Any], error: str, text: str) -> None:
    """AWS's error names and texts; no exception of Python is told."""
    states = {"A": state, **({"B": {"Type": "Succeed"}} if state["Type"] == "Choice" else {})}
    arn = aws.create(json.dumps({"StartAt": "A", "States": states}))
    failed = aws.end(aws.start(arn, {"t": "text", "o": {"x": None}}))
    assert (failed["status"], failed["error"]) == ("FAILED", error)
    assert text in failed["cause"]


@pytest.mark.parametrize(
    "rule",
    [
        {"Variable": "$.none", "IsPresent": False},
        {"Not": {"Variable": "$.none", "IsPresent": True}},
        {"Not": {"And": [{"Variable": "$.none", "IsPresent": True}, {"Variable": "$.none", "StringEquals": "x"}]}},
        {"Or": [{"Variable": "$.a", "NumericEquals": 1}, {"Variable": "$.none", "NumericEquals": 1}]},
    ],
)
def test_a_choice_asks_whether_a_value_is_there(aws: ScriptedAws, rule: dict[str, Any]) -> None:
    """With IsPresent; what comes behind it in And and Or is evaluated only if it matters."""
    states = {
        "A": {"Type": "Choice", "Choices": [{**rule, "Next": "B"}]},
        "B": {"Type": "Succeed"},
    }
    arn = aws.create(json.dumps({"StartAt": "A", "States": states}))
    assert aws.end(aws.start(arn, {"a": 1}))["status"] == "SUCCEEDED"


# --- members of state machines ----------------------------------------------------------------------------------------
def test_defaults_are_described(aws: ScriptedAws) -> None:
    """Logging and encryption, as AWS describes a state machine that was made without them."""
    described = aws.sfn.describe_state_machine(stateMachineArn=aws.create(PASS))
    assert described["loggingConfiguration"] == {"level": "OFF", "includeExecutionData": False}
    assert described["encryptionConfiguration"] == {"type": "AWS_OWNED_KEY"}
    key = {"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": "alias/own"}
    machine = aws.create(PASS, encryptionConfiguration=key)
    described = aws.sfn.describe_state_machine(stateMachineArn=machine)
    assert described["encryptionConfiguration"] == {**key, "kmsDataKeyReusePeriodSeconds": 300}


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"loggingConfiguration": {"level": "ALL"}}, "InvalidLoggingConfiguration", "exactly one Log Destination"),
        (
            {
                "loggingConfiguration": {
                    "level": "ALL",
                    "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": GROUP.removesuffix(":*")}}],
                }
            },
            "InvalidLoggingConfiguration",
            "a log group that ends with",
        ),
        (
            {"encryptionConfiguration": {"type": "CUSTOMER_MANAGED_KMS_KEY"}},
            "InvalidEncryptionConfiguration",
            "kmsKeyId",
        ),
        (
            {"encryptionConfiguration": {"type": "AWS_OWNED_KEY", "kmsKeyId": "alias/x"}},
            "InvalidEncryptionConfiguration",
            "kmsKeyId",
        ),
    ],
)
def test_invalid_members_are_refused(aws: ScriptedAws, options: dict[str, Any], code: str, text: str) -> None:
    """When a state machine is created, and when it is updated."""
    machine = aws.create(PASS)
    for call in (
        lambda: aws.create(PASS, **options),
        lambda: aws.sfn.update_state_machine(stateMachineArn=machine, **options),
    ):
        with pytest.raises(ClientError, match=text) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == code


@pytest.mark.parametrize("token", ["x", "eyJhIjoxfQ==", "W10=", "WyJhIl0=", "Wy0xXQ=="])
@pytest.mark.parametrize(
    "operation",
    [
        "list_state_machines",
        "list_executions",
        "get_execution_history",
        "list_activities",
        "list_map_runs",
        "list_state_machine_versions",
        "list_state_machine_aliases",
    ],
)
def test_tokens_of_others(aws: ScriptedAws, operation: str, token: str) -> None:
    """Whatever is no token of this operation is InvalidToken, never another page or an error of the server."""
    machine = aws.create(PASS)
    names = aws.sfn.meta.service_model.operation_model(
        aws.sfn.meta.method_to_api_mapping[operation]
    ).input_shape.members
    arguments = {"stateMachineArn": machine} if "stateMachineArn" in names else {}
    if "executionArn" in names:
        arguments = {"executionArn": aws.start(machine)}
    with pytest.raises(ClientError, match="Invalid Token: 'Invalid token'") as caught:
        getattr(aws.sfn, operation)(nextToken=token, **arguments)
    assert caught.value.response["Error"]["Code"] == "InvalidToken"


@pytest.mark.parametrize(
    ("operation", "member"),
    [
        ("describe_state_machine", "stateMachineArn"),
        ("delete_state_machine", "stateMachineArn"),
        ("publish_state_machine_version", "stateMachineArn"),
        ("list_state_machine_versions", "stateMachineArn"),
        ("list_state_machine_aliases", "stateMachineArn"),
        ("delete_state_machine_version", "stateMachineVersionArn"),
        ("describe_state_machine_alias", "stateMachineAliasArn"),
        ("list_map_runs", "executionArn"),
        ("describe_map_run", "mapRunArn"),
        ("describe_activity", "activityArn"),
    ],
)
def test_invalid_arns(aws: ScriptedAws, operation: str, member: str) -> None:
    """One text for what is no ARN, and one for that of something else."""
    with pytest.raises(ClientError, match="Invalid Arn: 'Invalid ARN prefix: none'"):
        getattr(aws.sfn, operation)(**{member: "none"})
    other = "arn:aws:states:us-east-1:123456789012:express:a:b:c"
    with pytest.raises(ClientError, match="Invalid Arn: 'Resource type not valid in this context: express'"):
        getattr(aws.sfn, operation)(**{member: other})
