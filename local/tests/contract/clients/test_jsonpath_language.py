"""Paths, intrinsic functions and service integrations as definitions in the wild use them."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stepbridge_local.testing import LocalAwsProcess

from .conftest import Site, until

DATA = {
    "my-key": 1,
    "ü": {"x": 2},
    "below": {"x": 2},
    "items": [{"name": "a b", "v": 1}, {"name": "c", "v": 2}],
    "one": [{"name": "only"}],
    "it's": 3,
    "role": "r",
}


def run(site: Site, state: dict[str, Any], execution_input: Any = None) -> dict[str, Any]:
    definition = {"StartAt": "S", "States": {"S": {"End": True, **state}}}
    return site.run_machine(json.dumps(definition), {} if execution_input is None else execution_input)


def output(site: Site, state: dict[str, Any], execution_input: Any = None) -> Any:
    execution = run(site, state, execution_input)
    assert execution["status"] == "SUCCEEDED", f"{execution.get('error')}: {execution.get('cause')}"
    return json.loads(execution["output"])


def test_paths_that_name_one_place_give_its_value_and_others_a_list(site: Site) -> None:
    """Definite paths give what is there, whatever is in brackets; wildcards, slices and filters always a list."""
    paths: dict[str, tuple[str, Any]] = {
        "behind_index": ("$.items[0].name", "a b"),
        "all_brackets": ("$['items'][1]['v']", 2),
        "dash": ("$.my-key", 1),
        "unicode": ("$.ü.x", 2),
        "quote": ("$['it\\'s']", 3),
        "wildcard": ("$.one[*].name", ["only"]),
        "filter": ("$.items[?(@.name == 'c')].v", [2]),
        "filter_in_double_quotes": ('$.items[?(@.name == "a b" && @.v < 2)].v', [1]),
        "no_match": ("$.items[?(@.v > 5)]", []),
        "slice": ("$.items[1:].v", [2]),
        "last": ("$.items[-1].v", 2),
        "deep": ("$..name", ["a b", "c", "only"]),
        "names": ("$['role', 'my-key']", {"role": "r", "my-key": 1}),
        "length": ("$.items.length()", 2),
        "context": ("$$.Execution.Input.role", "r"),
    }
    parameters = {f"{name}.$": path for name, (path, _) in paths.items()}
    assert output(site, {"Type": "Pass", "Parameters": parameters}, DATA) == {
        name: value for name, (_, value) in paths.items()
    }


def test_a_role_may_be_a_parameter(site: Site) -> None:
    """``RoleArn.$`` is an argument like any other, however deep, and not only a Task's credentials."""
    parameters = {"RoleArn.$": "$.role", "Deep": {"RoleArn.$": "$.role", "Credentials": {"RoleArn.$": "$.role"}}}
    expected = {"RoleArn": "r", "Deep": {"RoleArn": "r", "Credentials": {"RoleArn": "r"}}}
    assert output(site, {"Type": "Pass", "Parameters": parameters}, DATA) == expected


def test_intrinsic_functions(site: Site) -> None:
    """Quotes, braces and backslashes are escaped as documented; texts are Unicode; objects are shown as AWS does."""
    calls: dict[str, tuple[str, Any]] = {
        "escapes": ("States.Format('it\\'s \\{{}\\} \\\\', $.role)", "it's {r} \\"),
        "object": ("States.Format('{} {} {}', $.items[0], 1.5, true)", "{name=a b, v=1} 1.5 true"),
        "encoded": ("States.Base64Encode('ü')", "w7w="),
        "decoded": ("States.Base64Decode('w7w=')", "ü"),
        "nested": ("States.ArrayGetItem(States.StringSplit('a,b;c', ',;'), States.MathAdd(1, 1))", "c"),
        "parts": ("States.ArrayPartition(States.ArrayRange(1, 5, 2), 2)", [[1, 3], [5]]),
        "merged": ("States.JsonMerge($.below, States.StringToJson('{\"y\": 3}'), false)", {"x": 2, "y": 3}),
        "unique": ("States.ArrayUnique(States.Array(1, 1, '1'))", [1, "1"]),
    }
    parameters = {f"{name}.$": call for name, (call, _) in calls.items()}
    assert output(site, {"Type": "Pass", "Parameters": parameters}, DATA) == {
        name: value for name, (_, value) in calls.items()
    }


@pytest.mark.parametrize(
    "call", ["States.Format('{}', 1, 2)", "States.StringToJson('nope')", "States.ArrayGetItem(States.Array(1), 5)"]
)
def test_a_call_that_cannot_be_evaluated_is_an_intrinsic_failure(site: Site, call: str) -> None:
    """The state fails with States.IntrinsicFailure and the call in the cause."""
    execution = run(site, {"Type": "Pass", "Parameters": {"x.$": call}})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.IntrinsicFailure")
    assert call in execution["cause"]


def test_a_path_that_is_not_there_is_a_runtime_error(site: Site) -> None:
    """States.Runtime names path and field."""
    execution = run(site, {"Type": "Pass", "Parameters": {"x.$": "$.items[7].name"}}, DATA)
    assert execution["error"] == "States.Runtime"
    assert "The JSONPath '$.items[7].name' specified for the field 'x.$' could not be found" in execution["cause"]


REFUSED_STATES: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"Type": "Pass", "Parameters": {"x.$": "plain"}}, "must be a valid JSONPath or a valid intrinsic"),
    "unknown call": ({"Type": "Pass", "Parameters": {"x.$": "States.Nope()"}}, "Nope"),
    "unreadable argument": ({"Type": "Pass", "Parameters": {"x.$": "States.Array(1, !)"}}, "!"),
    "lambda": ({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {}}, "'lambda'"),
    "function": ({"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:f"}, "no Lambda"),
    "glue": ({"Type": "Task", "Resource": "arn:aws:states:::glue:startJobRun.sync", "Parameters": {}}, "'glue'"),
    "ec2": ({"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:ec2:describeInstances"}, "no service 'ec2'"),
    "no operation": ({"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:nope"}, "no operation 'nope'"),
    "training": ({"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob"}, "createProcessingJob"),
}


@pytest.mark.parametrize("case", REFUSED_STATES)
def test_what_cannot_run_here_is_refused_when_the_machine_is_made(site: Site, case: str) -> None:
    """CreateStateMachine answers InvalidDefinition and names it; nothing passes in silence."""
    state, expected = REFUSED_STATES[case]
    definition = json.dumps({"StartAt": "S", "States": {"S": {"End": True, **state}}})
    with pytest.raises(ClientError) as raised:
        site.client("stepfunctions").create_state_machine(
            name=site.unique("refused"), definition=definition, roleArn=site.role_arn
        )
    assert raised.value.response["Error"]["Code"] == "InvalidDefinition"
    assert expected in raised.value.response["Error"]["Message"]


def task(resource: str, **parameters: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters}


def test_sdk_integrations_reach_the_services(site: Site) -> None:
    """Objects become JSON, names are in the case of Step Functions, times are texts, content is text."""
    place = {"Bucket": site.bucket, "Key": "sdk-integration.json"}
    output(site, task("aws-sdk:s3:putObject", Body={"a": [1]}, **place))
    assert site.text("sdk-integration.json") == '{"a":[1]}'
    assert output(site, task("aws-sdk:s3:getObject", **place))["Body"] == '{"a":[1]}'
    listed = output(site, task("aws-sdk:s3:listObjectsV2", Bucket=site.bucket, Prefix=place["Key"]))
    assert listed["Contents"][0]["LastModified"].endswith("Z")
    name = output(site, task("aws-sdk:sfn:listStateMachines", MaxResults=1))["StateMachines"][0]["Name"]
    assert name
    missing = run(site, task("aws-sdk:s3:getObject", Bucket=site.bucket, Key="missing"))
    assert missing["error"] == "S3.NoSuchKeyException"


def test_an_execution_starts_another_and_waits(site: Site) -> None:
    """``states:startExecution.sync:2`` gives the child's output as JSON; a child that fails fails the task."""
    sfn = site.client("stepfunctions")
    children = {}
    for kind, state in (("Succeed", {"Type": "Succeed"}), ("Fail", {"Type": "Fail", "Error": "No", "Cause": "why"})):
        definition = json.dumps({"StartAt": "C", "States": {"C": state}})
        made = sfn.create_state_machine(name=site.unique("child"), definition=definition, roleArn=site.role_arn)
        children[kind] = made["stateMachineArn"]
    start = "states:startExecution.sync:2"
    child = output(site, task(start, StateMachineArn=children["Succeed"], Input={"a": 1}))
    assert (child["Status"], child["Output"]) == ("SUCCEEDED", {"a": 1})
    failed = run(site, task(start, StateMachineArn=children["Fail"]))
    assert failed["error"] == "States.TaskFailed"
    assert json.loads(failed["cause"])["Error"] == "No"


def test_a_task_waits_for_its_token(site: Site) -> None:
    """``sqs:sendMessage.waitForTaskToken`` ends with what SendTaskSuccess brings."""
    sqs, sfn = site.client("sqs"), site.client("stepfunctions")
    queue_url = sqs.create_queue(QueueName=site.unique("tokens"))["QueueUrl"]
    message = {"QueueUrl": queue_url, "MessageBody": {"token.$": "$$.Task.Token"}}
    state = {"End": True, **task("sqs:sendMessage.waitForTaskToken", **message)}
    definition = json.dumps({"StartAt": "S", "States": {"S": state}})
    machine = sfn.create_state_machine(name=site.unique("token"), definition=definition, roleArn=site.role_arn)
    arn = sfn.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
    (received,) = sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=10)["Messages"]
    sfn.send_task_success(taskToken=json.loads(received["Body"])["token"], output='{"ok": 1}')
    ended = until(lambda: sfn.describe_execution(executionArn=arn), lambda one: one["status"] != "RUNNING")
    assert json.loads(ended["output"]) == {"ok": 1}


def test_a_distributed_map_reads_its_items_from_s3(site: Site) -> None:
    """ItemReader takes the items of a JSON object, and the objects below a prefix."""
    site.put("items/list.json", '[{"n": 1}, {"n": 2}]')

    def distributed(resource: str, config: dict[str, Any], **parameters: Any) -> dict[str, Any]:
        reader = {"Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, **config}
        processor = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
        mode = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
        return {"Type": "Map", "ItemReader": reader, "ItemProcessor": {**mode, **processor}}

    json_items = {"ReaderConfig": {"InputType": "JSON"}}
    state = distributed("s3:getObject", json_items, Bucket=site.bucket, Key="items/list.json")
    assert output(site, state) == [{"n": 1}, {"n": 2}]
    (item,) = output(site, distributed("s3:listObjectsV2", {}, Bucket=site.bucket, Prefix="items/"))
    assert (item["Key"], item["Size"]) == ("items/list.json", 20)


def test_integrations_may_do_what_the_role_may(own_local_aws: LocalAwsProcess) -> None:
    """With permissions enforced, a task is denied what its machine's role does not have, and allowed what it has."""
    iam, s3, sfn = (own_local_aws.client(service) for service in ("iam", "s3", "stepfunctions"))
    s3.create_bucket(Bucket="guarded")
    trusted = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    allowed = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::guarded"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_role_policy(RoleName="reader", PolicyName="list", PolicyDocument=policy)
    request = urllib.request.Request(
        f"{own_local_aws.endpoint_url}/_stepbridge/faults",
        data=b'{"fault": "iam"}',
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    urllib.request.urlopen(request, timeout=10).close()

    def end(name: str, resource: str, **parameters: str) -> dict[str, Any]:
        state = {"End": True, **task(resource, **parameters)}
        definition = json.dumps({"StartAt": "S", "States": {"S": state}})
        machine = sfn.create_state_machine(name=name, definition=definition, roleArn=role)["stateMachineArn"]
        arn = sfn.start_execution(stateMachineArn=machine)["executionArn"]
        return until(lambda: sfn.describe_execution(executionArn=arn), lambda one: one["status"] != "RUNNING")

    assert end("lists", "aws-sdk:s3:listObjectsV2", Bucket="guarded")["status"] == "SUCCEEDED"
    denied = end("puts", "aws-sdk:s3:putObject", Bucket="guarded", Key="k", Body="b")
    assert denied["status"] == "FAILED"
    assert "is not authorized to perform: s3:PutObject" in denied["cause"]
