"""CreateProcessingJob requests against the service model and AWS's further rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from stepbridge_local.protocols import Scope, ServiceError
from stepbridge_local.services.sagemaker import rules
from stepbridge_local.services.sagemaker.validation import request_shape, validated
from stepbridge_local.services.service_model import compile_pattern

SCOPE = Scope("123456789012", "us-east-1")
NAME_PATTERN = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"


def request(**members: Any) -> dict[str, Any]:
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
    return {
        "ProcessingJobName": "job-1",
        "RoleArn": "arn:aws:iam::123456789012:role/service-role/processing",
        "AppSpecification": {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/model:1"},
        "ProcessingResources": {"ClusterConfig": cluster},
    } | members


def one_input(**source: Any) -> dict[str, Any]:
    given = {"S3Uri": "s3://bucket/in/", "LocalPath": "/opt/ml/processing/in", "S3DataType": "S3Prefix"} | source
    return {"InputName": "data", "S3Input": {key: value for key, value in given.items() if value is not None}}


def one_output(**target: Any) -> dict[str, Any]:
    given = {"S3Uri": "s3://bucket/out", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"} | target
    return {"OutputName": "result", "S3Output": {key: value for key, value in given.items() if value is not None}}


def outputs(*given: dict[str, Any]) -> dict[str, Any]:
    return {"ProcessingOutputConfig": {"Outputs": list(given)}}


def cluster(**members: Any) -> dict[str, Any]:
    return {"ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "VolumeSizeInGB": 1} | members}}


def refusal(call: Callable[[], object]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call()
    return caught.value


def shape_refusal(**members: Any) -> str:
    fault = refusal(lambda: validated("CreateProcessingJob", request(**members)))
    assert fault.code == "ValidationException"
    return fault.message


def rule_refusal(**members: Any) -> str:
    accepted = validated("CreateProcessingJob", request(**members))
    fault = refusal(lambda: rules.check(SCOPE, accepted))
    assert fault.code == "ValidationException"
    return fault.message


def test_a_good_request_is_accepted_as_it_is() -> None:
    """Nothing is added or lost."""
    good = request(ProcessingInputs=[one_input()], Environment={"A": ""}, Tags=[{"Key": "k", "Value": ""}]) | outputs(
        one_output()
    )
    assert validated("CreateProcessingJob", good) == good
    rules.check(SCOPE, good)


@pytest.mark.parametrize(
    ("members", "constraint"),
    [
        (
            {"ProcessingJobName": "a_b"},
            f"Value 'a_b' at 'processingJobName' failed to satisfy constraint: Member must satisfy regular expression "
            f"pattern: {NAME_PATTERN}",
        ),
        (
            {"ProcessingJobName": "a\n"},
            f"Value 'a\n' at 'processingJobName' failed to satisfy constraint: Member must satisfy regular expression "
            f"pattern: {NAME_PATTERN}",
        ),
        (
            {"RoleArn": None},
            "Value null at 'roleArn' failed to satisfy constraint: Member must not be null",
        ),
        (
            cluster(InstanceCount=0),
            "Value '0' at 'processingResources.clusterConfig.instanceCount' failed to satisfy constraint: Member must "
            "have value greater than or equal to 1",
        ),
        (
            cluster(VolumeSizeInGB=16385),
            "Value '16385' at 'processingResources.clusterConfig.volumeSizeInGB' failed to satisfy constraint: Member "
            "must have value less than or equal to 16384",
        ),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 777601}},
            "Value '777601' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have "
            "value less than or equal to 777600",
        ),
        (
            {"ProcessingInputs": [one_input(), one_input(S3DataType="Folder") | {"InputName": "b"}]},
            "Value 'Folder' at 'processingInputs.2.member.s3Input.s3DataType' failed to satisfy constraint: Member "
            "must satisfy enum value set: [ManifestFile, S3Prefix]",
        ),
        (
            {"AppSpecification": {"ImageUri": "i", "ContainerEntrypoint": []}},
            "Value '[]' at 'appSpecification.containerEntrypoint' failed to satisfy constraint: Member must have "
            "length greater than or equal to 1",
        ),
        (
            {"AppSpecification": {"ImageUri": "i", "ContainerArguments": ["ok", "x\ny"]}},
            "Value '[ok, x\ny]' at 'appSpecification.containerArguments' failed to satisfy constraint: Member must "
            "satisfy constraint: [Member must have length less than or equal to 256, Member must have length greater "
            "than or equal to 0, Member must satisfy regular expression pattern: .*]",
        ),
        (
            {"Environment": {"1A": "x"}},
            "Value '{1A=x}' at 'environment' failed to satisfy constraint: Map keys must satisfy constraint: [Member "
            "must have length less than or equal to 256, Member must have length greater than or equal to 0, Member "
            "must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]",
        ),
        (
            {"ProcessingInput": []},
            "Value '[]' at 'processingInput' failed to satisfy constraint: Member must be one of the known members: "
            "[ProcessingInputs, ",
        ),
    ],
)
def test_what_the_model_forbids(members: dict[str, Any], constraint: str) -> None:
    """One error in AWS's words: value, path with small letters, constraint."""
    assert shape_refusal(**members).startswith(f"1 validation error detected: {constraint}")


@pytest.mark.parametrize(
    ("members", "accepted"),
    [
        ({"ProcessingJobName": "a" * 63}, True),
        ({"ProcessingJobName": "a" * 64}, False),
        ({"ProcessingJobName": "a-"}, False),
        ({"Environment": {f"K{n}": "v" for n in range(100)}}, True),
        ({"Environment": {f"K{n}": "v" for n in range(101)}}, False),
        ({"Environment": {"K": "v" * 257}}, False),
        ({"Environment": {"K": "two\nlines"}}, True),
        ({"Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)]}, False),
        ({"Tags": [{"Key": "Größe_1 +-=.:/@", "Value": "数据\u3000\u0661"}]}, True),
        ({"Tags": [{"Key": "a;b", "Value": ""}]}, False),
        ({"ProcessingInputs": [one_input() | {"InputName": str(n)} for n in range(10)]}, True),
        ({"ProcessingInputs": [one_input() | {"InputName": str(n)} for n in range(11)]}, False),
        ({"ProcessingInputs": [one_input(S3Uri="s3://b/" + "k" * 1017)]}, True),
        ({"ProcessingInputs": [one_input(S3Uri="s3://b/" + "k" * 1018)]}, False),
        ({"ProcessingInputs": [one_input(S3Uri="file:///tmp/x")]}, False),
        ({"AppSpecification": {"ImageUri": "i" * 256}}, False),
        ({"AppSpecification": {"ImageUri": "i", "ContainerArguments": ["a"] * 101}}, False),
        ({"RoleArn": "arn:aws:iam::12345678901:role/x"}, False),
        ({"RoleArn": "arn:aws:iam::١٢٣٤٥٦٧٨٩٠١٢:role/x"}, False),
    ],
)
def test_limits(members: dict[str, Any], accepted: bool) -> None:
    """Each limit of the model, just within and just beyond; digits are ASCII digits, as in Java's patterns."""
    if accepted:
        assert validated("CreateProcessingJob", request(**members))
    else:
        assert "validation error" in shape_refusal(**members)


def test_all_problems_at_once() -> None:
    """Two mistakes are two errors in one answer."""
    message = shape_refusal(ProcessingJobName="a_b", StoppingCondition={"MaxRuntimeInSeconds": 0})
    assert message.startswith("2 validation errors detected: Value ")
    assert "'stoppingCondition.maxRuntimeInSeconds'" in message
    assert "'processingJobName'" in message


def test_values_of_the_wrong_type() -> None:
    """Refused before anything is validated, naming each place; a bool is no number."""
    fault = refusal(
        lambda: validated(
            "CreateProcessingJob",
            request(
                ProcessingJobName=7,
                Environment=["A"],
                NetworkConfig={"EnableNetworkIsolation": "true"},
                StoppingCondition={"MaxRuntimeInSeconds": True},
            ),
        )
    )
    assert fault.code == "SerializationException"
    for expected in (
        "'processingJobName': NUMBER_VALUE can not be converted to a String",
        "'environment': LIST_VALUE can not be converted to a Map",
        "'networkConfig.enableNetworkIsolation': STRING_VALUE can not be converted to a Boolean",
        "'stoppingCondition.maxRuntimeInSeconds': BOOLEAN_VALUE can not be converted to an Integer",
    ):
        assert expected in fault.message


def test_whole_numbers_may_come_as_floats() -> None:
    """JSONata computes 3600 as 3600.0; AWS takes it."""
    accepted = validated("CreateProcessingJob", request(StoppingCondition={"MaxRuntimeInSeconds": 3600.0}))
    assert repr(accepted["StoppingCondition"]["MaxRuntimeInSeconds"]) == "3600"


def test_times_of_a_list_request() -> None:
    """Epoch seconds, ISO text and datetimes become datetimes in UTC; text that is no time is refused."""
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    for given in (noon.timestamp(), "2024-05-01T12:00:00Z", noon):
        assert validated("ListProcessingJobs", {"CreationTimeAfter": given})["CreationTimeAfter"] == noon
    fault = refusal(lambda: validated("ListProcessingJobs", {"CreationTimeAfter": "yesterday"}))
    assert fault.code == "SerializationException"


def test_every_pattern_of_the_operations_compiles() -> None:
    """Java's patterns are translated; none is left that Python reads differently or not at all."""
    seen: set[str] = set()

    def collect(shape: Any) -> None:
        if "pattern" in shape.metadata:
            seen.add(shape.metadata["pattern"])
        members = {
            "structure": lambda: shape.members.values(),
            "list": lambda: [shape.member],
            "map": lambda: [shape.key, shape.value],
        }.get(shape.type_name, list)
        for member in members():
            collect(member)

    for operation in ("Create", "Describe", "Stop"):
        collect(request_shape(f"{operation}ProcessingJob"))
    collect(request_shape("ListProcessingJobs"))
    assert len(seen) > 10
    for pattern in seen:
        compile_pattern(pattern)
    catalog = next(pattern for pattern in seen if "uDC00" in pattern)
    assert compile_pattern(catalog).fullmatch("catalog \U0001f600\t")
    assert not compile_pattern(catalog).fullmatch("line\nbreak")


# --- AWS's further rules ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"RoleArn": "arn:aws:iam::210987654321:role/x"}, "RoleArn: Cross-account pass role is not allowed."),
        (
            {"AppSpecification": {"ImageUri": "python:3.11"}},
            "Invalid image URI python:3.11. Please provide a valid Amazon Elastic Container Registry path of the "
            "Docker image to run.",
        ),
        (
            {"ProcessingInputs": [one_input(), one_input(LocalPath="/opt/ml/processing/b")]},
            "InputName 'data' occurs 2 times; it must be unique.",
        ),
        (
            {"ProcessingInputs": [one_input(), one_input(LocalPath="/opt/ml/processing/in/") | {"InputName": "b"}]},
            "LocalPath of inputs '/opt/ml/processing/in' occurs 2 times; it must be unique.",
        ),
        (outputs(one_output(), one_output()), "OutputName 'result' occurs 2 times; it must be unique."),
        ({"Tags": [{"Key": "a", "Value": "1"}] * 2}, "Tag key 'a' occurs 2 times; it must be unique."),
        (
            {"Tags": [{"Key": "aws:x", "Value": "1"}]},
            "Tag key 'aws:x': keys that begin with aws: are reserved.",
        ),
        (
            {"ProcessingInputs": [one_input(LocalPath="/opt/ml/input/x")]},
            "ProcessingInput 'data': LocalPath '/opt/ml/input/x' must begin with /opt/ml/processing/.",
        ),
        (
            {"ProcessingInputs": [one_input(LocalPath="/opt/ml/processing/../config")]},
            "ProcessingInput 'data': LocalPath '/opt/ml/processing/../config' must not contain '..' or a NUL",
        ),
        (
            {"ProcessingInputs": [one_input(LocalPath=None)]},
            "ProcessingInput 'data': LocalPath is required when AppManaged is false.",
        ),
        (
            outputs(one_output(S3Uri="s3://No_Bucket/x")),
            "ProcessingOutput 'result': S3Uri 's3://No_Bucket/x' has no valid",
        ),
        (
            {"ProcessingInputs": [{"InputName": "data"}]},
            "ProcessingInput 'data' must specify exactly one of S3Input and DatasetDefinition.",
        ),
        (
            outputs({"OutputName": "result"}),
            "ProcessingOutput 'result' must specify exactly one of S3Output and FeatureStoreOutput.",
        ),
        (
            {"ProcessingInputs": [one_input(S3CompressionType="Gzip")]},
            "ProcessingInput 'data': S3CompressionType Gzip can only be used when S3InputMode is Pipe.",
        ),
        (
            {"ProcessingInputs": [one_input(S3InputMode="Pipe") | {"InputName": "a/b"}]},
            "ProcessingInput 'a/b': the name of a Pipe input is that of a file, its FIFO, and cannot hold '/'",
        ),
        (
            {"ProcessingInputs": [one_input(S3Uri="https://example.com/k")]},
            "ProcessingInput 'data': S3Uri 'https://example.com/k' is not an S3 location",
        ),
        (
            cluster(InstanceType=None, InstanceCount=1, InstancePreferences=[{"InstanceType": "ml.m5.large"}] * 2),
            "InstancePreferences InstanceType 'ml.m5.large' occurs 2 times; it must be unique.",
        ),
        (
            {"ProcessingInputs": [{"InputName": "d", "AppManaged": True, "DatasetDefinition": {}}]},
            "ProcessingInput 'd' must specify exactly one of AthenaDatasetDefinition and RedshiftDatasetDefinition.",
        ),
        (cluster(InstanceType=None), "ClusterConfig must have exactly one of InstanceType and InstancePreferences."),
        (
            cluster(SelectedInstanceType="ml.m5.large"),
            "SelectedInstanceType is read-only and not accepted in CreateProcessingJob.",
        ),
    ],
)
def test_what_the_rules_forbid(members: dict[str, Any], text: str) -> None:
    """Each rule names the input or output that breaks it."""
    assert rule_refusal(**members).startswith(text)


DATASET = {
    "LocalPath": "/opt/ml/processing/x",
    "RedshiftDatasetDefinition": {
        "ClusterId": "c",
        "Database": "d",
        "DbUser": "u",
        "QueryString": "select 1",
        "ClusterRoleArn": "arn:aws:iam::123456789012:role/x",
        "OutputS3Uri": "s3://b/k",
        "OutputFormat": "CSV",
    },
}


def test_what_the_local_aws_does_not_do_is_refused_by_name() -> None:
    """Never a silent pass: the member, where it stands, and what to use instead."""
    text = rule_refusal(ProcessingInputs=[{"InputName": "data", "DatasetDefinition": DATASET}])
    assert text == (
        "The local AWS does not do DatasetDefinition (ProcessingInput 'data'): there is no Athena and no Redshift; "
        "use an S3Input."
    )


def test_what_the_application_manages_is_its_own() -> None:
    """Then SageMaker only describes it to the container, and so does the local AWS."""
    given = {"InputName": "data", "AppManaged": True, "DatasetDefinition": DATASET}
    feature = {"OutputName": "r", "AppManaged": True, "FeatureStoreOutput": {"FeatureGroupName": "g"}}
    accepted = validated("CreateProcessingJob", request(ProcessingInputs=[given]) | outputs(feature))
    rules.check(SCOPE, accepted)


@pytest.mark.parametrize(
    ("members", "accepted"),
    [
        ({"InstancePreferences": [{"InstanceType": "ml.m5.large"}], "InstanceCount": 2}, True),
        ({"InstancePreferences": [{"InstanceType": "ml.m5.large", "InstanceCount": 2}]}, True),
        ({"InstancePreferences": [{"InstanceType": "ml.m5.large"}]}, False),
        ({"InstancePreferences": [{"InstanceType": "ml.m5.large", "InstanceCount": 2}], "InstanceCount": 2}, False),
        (
            {
                "InstancePreferences": [
                    {"InstanceType": "ml.m5.large", "InstanceCount": 2},
                    {"InstanceType": "ml.m4.xlarge"},
                ]
            },
            False,
        ),
    ],
)
def test_who_says_how_many_instances(members: dict[str, Any], accepted: bool) -> None:
    """Each of InstancePreferences, or ClusterConfig for all of them."""
    given = cluster(**members)
    del given["ProcessingResources"]["ClusterConfig"]["InstanceType"]
    if accepted:
        rules.check(SCOPE, validated("CreateProcessingJob", request(**given)))
    else:
        assert rule_refusal(**given) == (
            "InstanceCount must be set in ClusterConfig or in each of InstancePreferences, and not in both."
        )


@pytest.mark.parametrize(
    "uri",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/model",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/team/model_a:v1.2",
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/m@sha256:" + "0" * 64,
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/m:tag@sha256:" + "f" * 64,
    ],
)
def test_image_uris_of_ecr(uri: str) -> None:
    """With a tag, a digest, both or neither, in every partition."""
    rules.check(SCOPE, request(AppSpecification={"ImageUri": uri}))


def test_defaults() -> None:
    """What DescribeProcessingJob shows for members that were left out; what was given stays."""
    given = request(ProcessingInputs=[one_input(S3InputMode="File")]) | outputs(one_output()) | cluster()
    filled = rules.with_defaults(given)
    assert filled["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert filled["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 1
    assert filled["ProcessingInputs"][0]["AppManaged"] is False
    assert filled["ProcessingInputs"][0]["S3Input"]["S3DataDistributionType"] == "FullyReplicated"
    assert filled["ProcessingOutputConfig"]["Outputs"][0]["AppManaged"] is False
    assert rules.with_defaults(filled) == filled
    preferred = cluster(InstancePreferences=[{"InstanceType": "ml.m5.large", "InstanceCount": 2}])
    assert rules.with_defaults(request(**preferred))["ProcessingResources"] == preferred["ProcessingResources"]
    assert "StoppingCondition" not in given
