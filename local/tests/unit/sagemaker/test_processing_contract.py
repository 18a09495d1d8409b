"""The table of what becomes of each member and value, against botocore's service model and against what is done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from stepbridge_local.protocols import Scope, ServiceError
from stepbridge_local.services.sagemaker import description, rules
from stepbridge_local.services.sagemaker.contract import CONTRACT, Treatment, markdown
from stepbridge_local.services.sagemaker.job import ProcessingJob
from stepbridge_local.services.sagemaker.validation import validated

OPERATIONS = ("CreateProcessingJob", "DescribeProcessingJob", "ListProcessingJobs", "StopProcessingJob")
PAGE = Path(__file__).parents[3] / "docs" / "processing.md"
MODEL = botocore.session.Session().get_service_model("sagemaker")


def leaves(shape: Any, path: str) -> Iterator[str]:
    """Every member that holds no others, and every value of an enumeration, as paths of the table."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from leaves(member, path + name if path.endswith("->") else f"{path}.{name}")
    elif shape.type_name == "list":
        yield from leaves(shape.member, f"{path}[]")
    elif shape.type_name == "map":
        yield f"{path}{{}}"
    elif "enum" in shape.metadata:
        yield from (f"{path}={value}" for value in shape.metadata["enum"])
    else:
        yield path


def members_of_the_model() -> list[str]:
    found: list[str] = []
    for operation in OPERATIONS:
        operation_model = MODEL.operation_model(operation)
        found += leaves(operation_model.input_shape, operation)
        if operation_model.output_shape is not None:
            found += leaves(operation_model.output_shape, f"{operation}->")
    return found


def row_of(path: str) -> str | None:
    """The line of the table that a path of the model stands in."""
    exact = [line for line in (path, f"{path.partition('=')[0]}=*") if line in CONTRACT]
    # What is described as it was created has one line for all that is below.
    whole = re.match(r"DescribeProcessingJob->\w+", path)
    return (exact or [line for line in [whole and whole.group()] if line in CONTRACT] or [None])[0]


def test_every_member_and_value_of_the_model_is_in_the_table() -> None:
    """A newer botocore with a member or a value that nobody has thought about fails here."""
    assert [path for path in members_of_the_model() if row_of(path) is None] == []


def test_the_table_has_nothing_that_the_model_has_not() -> None:
    """Lines of structures refuse or keep all that is below them."""
    known = members_of_the_model()
    used = {row_of(path) for path in known}
    left = [line for line in CONTRACT if line not in used]
    assert [line for line in left if not any(path.startswith(f"{line}.") for path in known)] == []


def test_every_line_that_is_not_plainly_honoured_says_why() -> None:
    """A member without effect is justified, a refused one has its remedy."""
    assert [path for path, row in CONTRACT.items() if row.treatment is not Treatment.HONOURED and not row.note] == []


def test_the_page_shows_the_table() -> None:
    """docs/processing.md; ``python -m stepbridge_local.services.sagemaker.contract`` prints it."""
    assert markdown() in PAGE.read_text(encoding="utf-8")


# --- what is done with each value of a request ------------------------------------------------------------------------
SCOPE = Scope("123456789012", "us-east-1")
S3_INPUT = {"S3Uri": "s3://bucket/in", "LocalPath": "/opt/ml/processing/in", "S3DataType": "S3Prefix"}
S3_OUTPUT = {"S3Uri": "s3://bucket/out", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}
ATHENA = {"Catalog": "c", "Database": "d", "QueryString": "q", "OutputS3Uri": "s3://b/k", "OutputFormat": "JSON"}
REDSHIFT = {
    "ClusterId": "c",
    "Database": "d",
    "DbUser": "u",
    "QueryString": "q",
    "ClusterRoleArn": "arn:aws:iam::123456789012:role/x",
    "OutputS3Uri": "s3://b/k",
    "OutputFormat": "CSV",
}
DEFINITIONS = {"AthenaDatasetDefinition": ATHENA, "RedshiftDatasetDefinition": REDSHIFT}


def request_with(path: str, app_managed: bool) -> dict[str, Any]:
    """A request that is right but for the value that ``path`` ends with, which may be too."""
    place, _, value = path.removeprefix("CreateProcessingJob.").partition("=")
    cluster: dict[str, Any] = {"InstanceCount": 1, "VolumeSizeInGB": 1}
    cluster |= (
        {"InstancePreferences": [{"InstanceType": "ml.m5.large"}]}
        if "InstancePreferences" in place
        else {"InstanceType": "ml.m5.large"}
    )
    given: dict[str, Any] = {"InputName": "data", "AppManaged": app_managed}
    if "DatasetDefinition" in place:
        chosen = next((name for name in DEFINITIONS if name in place), "AthenaDatasetDefinition")
        given["DatasetDefinition"] = {"LocalPath": "/opt/ml/processing/in", chosen: dict(DEFINITIONS[chosen])}
    else:
        given["S3Input"] = dict(S3_INPUT) | ({"S3InputMode": "Pipe"} if value == "Gzip" else {})
    request: dict[str, Any] = {
        "ProcessingJobName": "job-1",
        "RoleArn": "arn:aws:iam::123456789012:role/x",
        "AppSpecification": {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/model:1"},
        "ProcessingResources": {"ClusterConfig": cluster},
        "ProcessingInputs": [given],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": dict(S3_OUTPUT)}]},
    }
    at: Any = request
    *way, last = place.split(".")
    for step in way:
        at = at[step.removesuffix("[]")]
        at = at[0] if step.endswith("[]") else at
    at[last] = value
    return request


VALUES = [path for path in members_of_the_model() if path.startswith("CreateProcessingJob.") and "=" in path]


def refusal(path: str, app_managed: bool = False) -> str:
    """Why the request with this value is refused, or nothing when it is accepted."""
    try:
        accepted = validated("CreateProcessingJob", request_with(path, app_managed))
        rules.check(SCOPE, accepted)
    except ServiceError as error:
        return error.message
    return ""


def test_there_are_values_to_check() -> None:
    """The walk finds each enumeration of the request."""
    assert len({path.partition("=")[0] for path in VALUES}) == 14


@pytest.mark.parametrize(
    "place", sorted({path.partition("=")[0] for path in VALUES}), ids=lambda place: place.split(".", 1)[1]
)
def test_every_value_is_accepted_or_refused_by_name(place: str) -> None:
    """As the table says; what is honoured with AppManaged only is refused without it, and the text names it."""
    for path in (path for path in VALUES if path.startswith(f"{place}=")):
        line = row_of(path)
        assert line is not None
        match CONTRACT[line].treatment:
            case Treatment.APP_MANAGED:
                assert "The local AWS does not do DatasetDefinition (ProcessingInput 'data')" in refusal(path), path
                assert refusal(path, app_managed=True) == "", path
            case _ if "Selected" in place:
                assert "is read-only and not accepted in CreateProcessingJob" in refusal(path), path
            case _:
                assert refusal(path) == "", path


def test_what_the_table_does_not_know_is_refused_by_name() -> None:
    """A botocore that is newer than the table lets a value or a member pass; the table does not."""
    newer = request_with("CreateProcessingJob.ProcessingInputs[].S3Input.S3InputMode=FastFile", False)
    newer["NetworkConfig"] = {"EnableQuantumLink": True}
    newer["Environment"] = {"ANY": "thing"}
    with pytest.raises(ServiceError) as caught:
        rules.check(SCOPE, newer)
    assert caught.value.message == (
        "The local AWS does not do S3InputMode FastFile (ProcessingInput 'data'): it is newer than this version of "
        "stepbridge. The local AWS does not do EnableQuantumLink: it is newer than this version of stepbridge."
    )


def test_what_is_kept_is_described() -> None:
    """Keys, subnets, experiments, sizes: given back as they came, with nothing lost."""
    kept = request_with("CreateProcessingJob.ProcessingInputs[].S3Input.S3InputMode=File", False)
    kept["NetworkConfig"] = {
        "EnableInterContainerTrafficEncryption": True,
        "EnableNetworkIsolation": False,
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
    }
    kept["ExperimentConfig"] = {"ExperimentName": "e", "TrialName": "t", "RunName": "r"}
    kept["ProcessingOutputConfig"]["KmsKeyId"] = "alias/outputs"
    kept["ProcessingResources"]["ClusterConfig"] |= {"VolumeKmsKeyId": "1234-abcd", "VolumeSizeInGB": 16384}
    now = datetime(2024, 5, 1, tzinfo=UTC)
    accepted = rules.with_defaults(validated("CreateProcessingJob", kept))
    described = description.describe(ProcessingJob(SCOPE, "job-1", accepted, now, now))
    for member in ("NetworkConfig", "ExperimentConfig", "ProcessingResources"):
        assert described[member] == kept[member]
    assert described["ProcessingOutputConfig"]["KmsKeyId"] == "alias/outputs"
