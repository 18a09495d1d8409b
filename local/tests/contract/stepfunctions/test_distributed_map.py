"""Distributed Maps: what they read, batch, tolerate and write, and their child executions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.stepfunctions.conftest import ScriptedAws

FAILS_FOR_1 = {
    "I": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 1, "Next": "F"}], "Default": "S"},
    "F": {"Type": "Fail", "Error": "Bad", "Cause": "one"},
    "S": {"Type": "Pass", "Parameters": {"of.$": "$$.Execution.Id"}, "End": True},
}


def distributed(
    inner: dict[str, Any] | None = None, execution_type: str = "STANDARD", **members: Any
) -> dict[str, Any]:
    """A machine with a distributed Map over ``$.items``."""
    config = {"Mode": "DISTRIBUTED", "ExecutionType": execution_type}
    states = inner or {"I": {"Type": "Pass", "End": True}}
    processor = {"ProcessorConfig": config, "StartAt": "I", "States": states}
    items = {} if "ItemReader" in members or "Items" in members else {"ItemsPath": "$.items"}
    state = {"Type": "Map", **items, "ItemProcessor": processor, "End": True, **members}
    return {"StartAt": "M", "States": {"M": state}}


def ended(aws: ScriptedAws, definition: dict[str, Any], **execution_input: Any) -> dict[str, Any]:
    return aws.end(aws.start(aws.create(json.dumps(definition)), {"items": [1, 2, 3], **execution_input}))


def output(aws: ScriptedAws, definition: dict[str, Any], **execution_input: Any) -> Any:
    execution = ended(aws, definition, **execution_input)
    assert execution["status"] == "SUCCEEDED", execution
    return json.loads(execution["output"])


@pytest.fixture(scope="module")
def bucket(aws: ScriptedAws) -> str:
    name = "distributed-maps"
    aws.client("s3").create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"ToleratedFailurePercentage": 5}, [1, 2, 3]),
        ({"Label": "nightly"}, [1, 2, 3]),
        ({"ItemBatcher": {"MaxItemsPerBatch": 2}}, [{"Items": [1, 2]}, {"Items": [3]}]),
        ({"ItemBatcher": {"MaxItemsPerBatchPath": "$.n"}}, [{"Items": [1, 2]}, {"Items": [3]}]),
        ({"ItemBatcher": {"MaxInputBytesPerBatch": 13}}, [{"Items": [1]}, {"Items": [2]}, {"Items": [3]}]),
        (
            {"ItemBatcher": {"MaxItemsPerBatch": 3, "BatchInput": {"n.$": "$.n", "x": 1}}},
            [{"BatchInput": {"n": 2, "x": 1}, "Items": [1, 2, 3]}],
        ),
        (
            {"ItemBatcher": {"MaxItemsPerBatch": 2}, "ItemSelector": {"v.$": "$$.Map.Item.Value", "n.$": "$.n"}},
            [{"Items": [{"v": 1, "n": 2}, {"v": 2, "n": 2}]}, {"Items": [{"v": 3, "n": 2}]}],
        ),
        ({"ResultWriter": {"WriterConfig": {"Transformation": "FLATTEN"}}}, [1, 2, 3]),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
@pytest.mark.parametrize("execution_type", ["STANDARD", "EXPRESS"])
def test_members(aws: ScriptedAws, execution_type: str, members: dict[str, Any], expected: list[Any]) -> None:
    """Taken with both types of child executions, and done."""
    assert output(aws, distributed(execution_type=execution_type, **members), n=2) == expected


def test_jsonata(aws: ScriptedAws) -> None:
    """Members are expressions in a JSONata machine."""
    batcher = {"MaxItemsPerBatch": "{% $states.input.n %}", "BatchInput": {"n": "{% $states.input.n %}"}}
    definition = distributed(Items="{% $states.input.items %}", ItemBatcher=batcher)
    found = output(aws, {**definition, "QueryLanguage": "JSONata"}, n=2)
    assert found == [{"BatchInput": {"n": 2}, "Items": [1, 2]}, {"BatchInput": {"n": 2}, "Items": [3]}]


@pytest.mark.parametrize(
    ("body", "config", "expected"),
    [
        ('[{"x": 1}, {"x": 2}]', {}, [{"x": 1}, {"x": 2}]),
        ('[{"x": 1}, {"x": 2}]', None, [{"x": 1}, {"x": 2}]),
        ("[1, 2, 3]", {"InputType": "JSON", "MaxItemsPath": "$.n"}, [1, 2]),
        ('{"x": 1}\n{"x": 2}\n', {"InputType": "JSONL"}, [{"x": 1}, {"x": 2}]),
        (
            "x;y\n1;2\n",
            {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVDelimiter": "SEMICOLON"},
            [{"x": "1", "y": "2"}],
        ),
    ],
)
def test_readers(aws: ScriptedAws, bucket: str, body: str, config: dict[str, Any] | None, expected: list[Any]) -> None:
    """ReaderConfig may be empty or absent; then the object is JSON."""
    aws.client("s3").put_object(Bucket=bucket, Key="in/items", Body=body.encode())
    reader = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": bucket, "Key": "in/items"}}
    if config is not None:
        reader["ReaderConfig"] = config
    assert output(aws, distributed(ItemReader=reader), n=2) == expected


@pytest.mark.parametrize("config", [{}, {"MaxItems": 1}])
def test_listed_objects(aws: ScriptedAws, bucket: str, config: dict[str, Any]) -> None:
    """At most MaxItems; an empty ReaderConfig changes nothing."""
    for key in ("listed/a", "listed/b"):
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"[1, 2]")
    parameters = {"Bucket": bucket, "Prefix": "listed/"}
    reader = {"Resource": "arn:aws:states:::s3:listObjectsV2", "Parameters": parameters, "ReaderConfig": config}
    keys = [item["Key"] for item in output(aws, distributed(ItemReader=reader))]
    assert keys == ["listed/a", "listed/b"][: config.get("MaxItems")]


@pytest.mark.parametrize(
    ("tolerance", "succeeds"),
    [
        ({}, False),
        ({"ToleratedFailureCount": 1}, True),
        ({"ToleratedFailureCount": 0}, False),
        ({"ToleratedFailurePercentage": 34}, True),
        ({"ToleratedFailurePercentage": 33}, False),
        ({"ToleratedFailurePercentagePath": "$.n"}, True),
        ({"ToleratedFailureCount": 9, "ToleratedFailurePercentage": 1}, False),
    ],
)
def test_failed_children(aws: ScriptedAws, tolerance: dict[str, Any], succeeds: bool) -> None:
    """More than what is tolerated fails the Map; what is tolerated is described in the output."""
    execution = ended(aws, distributed(FAILS_FOR_1, **tolerance), n=50)
    if not succeeds:
        assert execution["error"] == "States.ExceedToleratedFailureThreshold"
        assert "MapRunFailed" in aws.event_types(execution["executionArn"])
        return
    failed, *others = json.loads(execution["output"])
    assert (failed["Status"], failed["Error"], failed["Cause"], failed["Input"]) == ("FAILED", "Bad", "one", "1")
    assert [list(other) for other in others] == [["of"], ["of"]]


def test_a_map_run_and_its_child_executions(aws: ScriptedAws) -> None:
    """The Map run has its counts; children have ARNs of their own, are listed and described, and have histories."""
    execution = ended(aws, distributed(FAILS_FOR_1, ToleratedFailureCount=1, Label="lab"))
    sfn = aws.sfn
    (run,) = sfn.list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
    described = sfn.describe_map_run(mapRunArn=run["mapRunArn"])
    counts = described["itemCounts"]
    assert (described["status"], counts["succeeded"], counts["failed"], counts["total"]) == ("SUCCEEDED", 2, 1, 3)
    assert (counts["running"], counts["pending"], described["executionCounts"]["failed"]) == (0, 0, 1)
    children = sfn.list_executions(mapRunArn=run["mapRunArn"])["executions"]
    outputs = json.loads(execution["output"])
    assert {child["executionArn"] for child in children} >= {one["of"] for one in outputs[1:]}
    assert all("/lab:" in child["executionArn"] and child["mapRunArn"] == run["mapRunArn"] for child in children)
    (failed,) = sfn.list_executions(mapRunArn=run["mapRunArn"], statusFilter="FAILED")["executions"]
    found = sfn.describe_execution(executionArn=failed["executionArn"])
    assert (found["status"], found["error"], found["input"]) == ("FAILED", "Bad", "1")
    types = aws.event_types(failed["executionArn"])
    assert (types[0], types[-1]) == ("ExecutionStarted", "ExecutionFailed")


def test_results_in_s3(aws: ScriptedAws, bucket: str) -> None:
    """A manifest, and files of what succeeded and what failed, with AWS's members."""
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": bucket, "Prefix": "results"}}
    found = output(aws, distributed(FAILS_FOR_1, ToleratedFailureCount=1, ResultWriter=writer))
    details = found["ResultWriterDetails"]
    assert details["Key"] == f"results/{found['MapRunArn'].rsplit(':', 1)[1]}/manifest.json"

    def read(key: str) -> Any:
        return json.loads(aws.client("s3").get_object(Bucket=details["Bucket"], Key=key)["Body"].read())

    manifest = read(details["Key"])
    assert (manifest["DestinationBucket"], manifest["MapRunArn"]) == (bucket, found["MapRunArn"])
    files = manifest["ResultFiles"]
    assert files["PENDING"] == []
    (failed,) = read(files["FAILED"][0]["Key"])
    assert (failed["Status"], failed["Error"], failed["Input"]) == ("FAILED", "Bad", "1")
    succeeded = read(files["SUCCEEDED"][0]["Key"])
    assert [(one["Status"], json.loads(one["Output"])) for one in succeeded] == [
        ("SUCCEEDED", {"of": one["ExecutionArn"]}) for one in succeeded
    ]


@pytest.mark.parametrize(("output_type", "expected"), [("JSON", "[2,3]"), ("JSONL", "2\n3\n")])
def test_formats_of_results(aws: ScriptedAws, bucket: str, output_type: str, expected: str) -> None:
    """COMPACT writes outputs only."""
    writer = {
        "Resource": "arn:aws:states:::s3:putObject",
        "Parameters": {"Bucket": bucket, "Prefix": f"formats/{output_type}/"},
        "WriterConfig": {"Transformation": "COMPACT", "OutputType": output_type},
    }
    found = output(aws, distributed(ResultWriter=writer), items=[2, 3])
    s3 = aws.client("s3")
    manifest = json.loads(s3.get_object(**found["ResultWriterDetails"])["Body"].read())
    (file,) = manifest["ResultFiles"]["SUCCEEDED"]
    assert s3.get_object(Bucket=bucket, Key=file["Key"])["Body"].read().decode() == expected
    assert file["Size"] == len(expected)


def test_errors_of_reading_and_writing_can_be_caught(aws: ScriptedAws, bucket: str) -> None:
    """States.ItemReaderFailed and States.ResultWriterFailed, with S3's message."""
    reader = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": bucket, "Key": "none"}}
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "no-such-bucket-1", "Prefix": "x"}}
    for error, members in (
        ("States.ItemReaderFailed", {"ItemReader": reader}),
        ("States.ResultWriterFailed", {"ResultWriter": writer}),
    ):
        definition = distributed(**members, Catch=[{"ErrorEquals": [error], "Next": "C"}])
        definition["States"]["C"] = {"Type": "Pass", "End": True}
        caught = output(aws, definition)
        assert (caught["Error"], "does not exist" in caught["Cause"]) == (error, True)


def test_a_redrive_runs_only_the_children_that_failed(aws: ScriptedAws, bucket: str) -> None:
    """The outputs of the others are kept."""
    get = "arn:aws:states:::aws-sdk:s3:getObjectTagging"
    inner = {
        "I": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 1, "Next": "G"}], "Default": "S"},
        "G": {"Type": "Task", "Resource": get, "Parameters": {"Bucket": bucket, "Key": "redrive"}, "Next": "S"},
        "S": {"Type": "Pass", "Parameters": {"of.$": "$$.Execution.Id"}, "End": True},
    }
    definition = distributed(inner, MaxConcurrency=1)
    arn = aws.start(aws.create(json.dumps(definition)), {"items": [2, 1]})
    assert aws.end(arn)["status"] == "FAILED"
    (first,) = aws.sfn.list_map_runs(executionArn=arn)["mapRuns"]
    (kept,) = aws.sfn.list_executions(mapRunArn=first["mapRunArn"], statusFilter="SUCCEEDED")["executions"]
    aws.client("s3").put_object(Bucket=bucket, Key="redrive", Body=b"x")
    aws.sfn.redrive_execution(executionArn=arn)
    found = aws.end(arn)
    assert json.loads(found["output"])[0] == {"of": kept["executionArn"]}, found


def test_a_stop_ends_the_children(aws: ScriptedAws) -> None:
    """The Map run is aborted, and so are its children."""
    inner = {"I": {"Type": "Wait", "Seconds": 3600, "End": True}}
    arn = aws.start(aws.create(json.dumps(distributed(inner))), {"items": [1, 2]})
    run = aws.until(lambda: aws.sfn.list_map_runs(executionArn=arn)["mapRuns"], bool)[0]["mapRunArn"]
    aws.until(lambda: aws.sfn.describe_map_run(mapRunArn=run)["itemCounts"]["running"], lambda count: count == 2)
    aws.sfn.stop_execution(executionArn=arn)
    ended_run = aws.until(lambda: aws.sfn.describe_map_run(mapRunArn=run), lambda found: found["status"] == "ABORTED")
    assert ended_run["itemCounts"]["aborted"] == 2
