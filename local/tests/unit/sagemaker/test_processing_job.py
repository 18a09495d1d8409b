"""The life of a processing job: its table, its end, its description."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge_local.protocols import ContainerExit, Scope
from stepbridge_local.services.sagemaker import description
from stepbridge_local.services.sagemaker.errors import (
    DataDownloadError,
    ExitMessageError,
    IllegalTransitionError,
    job_name_in_use,
)
from stepbridge_local.services.sagemaker.job import (
    FINAL,
    TRANSITIONS,
    Event,
    Outcome,
    ProcessingJob,
    Status,
    advance,
    finish,
)
from stepbridge_local.services.sagemaker.outcome import StopCause, exit_message, job_outcome

NOW = datetime(2024, 5, 1, 12, 0, 0, 123000, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)


def job(status: Status = Status.IN_PROGRESS, region: str = "us-east-1") -> ProcessingJob:
    request = {
        "ProcessingJobName": "job-1",
        "RoleArn": "arn:aws:iam::123456789012:role/x",
        "AppSpecification": {"ImageUri": "i"},
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 2}},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "Tags": [{"Key": "team", "Value": "a"}],
    }
    return ProcessingJob(Scope("123456789012", region), "job-1", request, NOW, NOW, status)


def test_every_status_of_the_service_model_has_a_row() -> None:
    """And only Completed, Failed and Stopped are final."""
    import botocore.session

    shapes = botocore.session.Session().get_service_model("sagemaker")
    assert {str(status) for status in TRANSITIONS} == set(shapes.shape_for("ProcessingJobStatus").enum)
    assert {Status.COMPLETED, Status.FAILED, Status.STOPPED} == FINAL


@pytest.mark.parametrize(("status", "event"), list(product(Status, Event)))
def test_an_event_follows_the_table_or_changes_nothing(status: Status, event: Event) -> None:
    """Legal: the table's status, and the time is noted. Illegal: IllegalTransitionError, and the job is as it was."""
    before = job(status)
    if event in TRANSITIONS[status]:
        after = advance(before, event, LATER)
        assert after.status is TRANSITIONS[status][event]
        assert after.last_modified_time == LATER
        assert (after.end_time == LATER) == after.is_final
        assert (after.start_time == LATER) == (event is Event.STARTED)
    else:
        with pytest.raises(IllegalTransitionError, match=str(status)):
            advance(before, event, LATER)
    assert before == job(status)


@pytest.mark.parametrize(
    ("status", "outcome", "expected"),
    [
        (Status.IN_PROGRESS, Status.COMPLETED, Status.COMPLETED),
        (Status.IN_PROGRESS, Status.FAILED, Status.FAILED),
        (Status.STOPPING, Status.STOPPED, Status.STOPPED),
        (Status.STOPPING, Status.COMPLETED, Status.STOPPED),  # the container ended by itself while it was being stopped
        (Status.STOPPING, Status.FAILED, Status.FAILED),
    ],
)
def test_how_an_outcome_ends_a_job(status: Status, outcome: Status, expected: Status) -> None:
    """A stop that was promised is kept."""
    assert finish(job(status), Outcome(outcome), LATER).status is expected


def test_a_failure_reason_is_cut_at_1024_characters() -> None:
    """The limit of shape FailureReason."""
    ended = finish(job(), Outcome(Status.FAILED, "ClientError: " + "x" * 2000), LATER)
    assert ended.failure_reason is not None
    assert len(ended.failure_reason) == 1024
    assert len(DataDownloadError("w", "y" * 2000).failure_reason) == 1024


@pytest.mark.parametrize(
    ("region", "partition"), [("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_arns_name_their_partition(region: str, partition: str) -> None:
    """China and GovCloud have their own."""
    assert job(region=region).arn == f"arn:{partition}:sagemaker:{region}:123456789012:processing-job/job-1"


EXITS = [ContainerExit(0), ContainerExit(137), ContainerExit(1)]


@pytest.mark.parametrize(
    ("exits", "cause", "expected"),
    [
        ([ContainerExit(0)], None, Outcome(Status.COMPLETED)),
        ([ContainerExit(0), ContainerExit(0)], None, Outcome(Status.COMPLETED)),
        (EXITS, StopCause.SIBLING, Outcome(Status.FAILED, "AlgorithmError: , exit code: 137")),
        ([ContainerExit(143)], StopCause.CALLER, Outcome(Status.STOPPED)),
        ([ContainerExit(0)], StopCause.CALLER, Outcome(Status.STOPPED)),
        ([], StopCause.CALLER, Outcome(Status.STOPPED)),
        (
            [ContainerExit(None, "no namespaces here")],
            None,
            Outcome(Status.FAILED, "ClientError: The container could not be started: no namespaces here"),
        ),
        (
            [ContainerExit(137)],
            StopCause.MAX_RUNTIME,
            Outcome(
                Status.STOPPED,
                "ClientError: MaxRuntimeExceeded: the job was stopped after its MaxRuntimeInSeconds of 60. "
                "Raise StoppingCondition.MaxRuntimeInSeconds.",
            ),
        ),
        (
            [ContainerExit(143)],
            StopCause.SHUTDOWN,
            Outcome(Status.FAILED, "InternalServerError: the local AWS was stopped while the job ran"),
        ),
    ],
)
def test_the_outcome(exits: list[ContainerExit], cause: StopCause | None, expected: Outcome) -> None:
    """Completed only if every container exits 0; a stop counts before an exit code; the first failure is the reason."""
    assert job_outcome(exits, cause, 60) == expected


def test_exit_messages_are_joined_and_cut_at_a_whole_character() -> None:
    """1 KB of UTF-8; a character that the cut goes through is left out."""
    assert exit_message([]) is None
    assert exit_message([b"", b""]) is None
    assert exit_message([b"one ", "zwölf".encode()]) == "one zwölf"
    assert exit_message([b"x" * 1023, "ö".encode()]) == "x" * 1023
    assert exit_message(["ö".encode() * 600]) == "ö" * 512


@given(st.text(max_size=600))
def test_an_exit_message_is_the_beginning_of_the_text(text: str) -> None:
    """Whatever the text: a prefix, at most 1024 bytes, and no shorter than the last whole character allows."""
    message = exit_message([text.encode()]) or ""
    assert text.startswith(message)
    assert len(message.encode()) <= 1024
    assert message == text or len(message.encode()) > 1024 - 4


@pytest.mark.parametrize("broken", [b"\xff", b"ab\xc3", b"\xc3("])
def test_an_exit_message_that_is_not_utf8(broken: bytes) -> None:
    """Also when the file itself ends within a character."""
    with pytest.raises(ExitMessageError, match="not UTF-8"):
        exit_message([broken])


def test_a_description_has_what_aws_gives_and_no_more() -> None:
    """Every member is one of the response shape; tags are not; absent values are left out."""
    import botocore.session

    shapes = botocore.session.Session().get_service_model("sagemaker")
    ended = finish(advance(job(), Event.STARTED, NOW), Outcome(Status.FAILED, "AlgorithmError: x", "why"), LATER)
    for described, shape in (
        (description.describe(ended), "DescribeProcessingJobResponse"),
        (description.summarize(ended), "ProcessingJobSummary"),
    ):
        members = shapes.shape_for(shape)
        assert set(described) <= set(members.members)
        assert set(members.required_members) <= set(described)
    assert "ExitMessage" not in description.describe(job())
    assert description.describe(ended)["ProcessingEndTime"] == LATER


def test_step_functions_gets_json_with_milliseconds() -> None:
    """Times are whole numbers since the epoch, tags a map."""
    converted = description.description_for_step_functions(description.describe(job()), job().request["Tags"])
    assert json.loads(json.dumps(converted))["CreationTime"] == 1714564800123
    assert converted["Tags"] == {"team": "a"}


def test_errors_survive_pickling() -> None:
    """Attributes and text are the same afterwards."""
    for error in (DataDownloadError("input", "found", "expected", "remedy"), IllegalTransitionError("job", "x")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.where) == (type(error), str(error), error.where)
    copied = pickle.loads(pickle.dumps(job_name_in_use("arn")))
    assert (copied.code, copied.http_status) == ("ResourceInUse", 400)
