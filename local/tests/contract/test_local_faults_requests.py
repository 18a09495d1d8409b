"""Throttling, errors, lost connections and latency at the endpoint, as boto3 meets with them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.contract.faulty_local_aws import FaultyAws

PASS = {"Only": {"Type": "Pass", "End": True}}


@pytest.fixture(scope="module")
def shared_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyAws]:
    aws = FaultyAws(tmp_path_factory.mktemp("faulty-local-aws"))
    yield aws
    aws.close()


@pytest.fixture
def aws(shared_aws: FaultyAws) -> Iterator[FaultyAws]:
    shared_aws.faults()
    yield shared_aws
    shared_aws.faults()


def outcome(call: Callable[[], Any]) -> str:
    """``ok``, or the code of the error, or that the connection was lost."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except ConnectionClosedError:
        return "lost"
    return "ok"


# --- throttling -------------------------------------------------------------------------------------------------------
def test_requests_above_the_rate_are_throttled_as_aws_does(aws: FaultyAws) -> None:
    """ThrottlingException, "Rate exceeded", HTTP 400; other regions and other operations go on."""
    machine, sfn = aws.machine(PASS), aws.impatient("stepfunctions")
    aws.faults({"fault": "throttling", "rates": {"states:StartExecution": {"bucket": 3, "refill_per_second": 0.01}}})
    started = [outcome(lambda: sfn.start_execution(stateMachineArn=machine)) for _ in range(6)]
    assert started == ["ok", "ok", "ok", *["ThrottlingException"] * 3]
    with pytest.raises(ClientError) as caught:
        sfn.start_execution(stateMachineArn=machine)
    assert caught.value.response["Error"]["Message"] == "Rate exceeded"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert outcome(lambda: sfn.list_executions(stateMachineArn=machine)) == "ok"
    elsewhere = aws.impatient("stepfunctions", "eu-west-1")
    assert outcome(lambda: elsewhere.start_execution(stateMachineArn=machine)) == "StateMachineDoesNotExist"


def test_the_rates_of_aws_hold(aws: FaultyAws) -> None:
    """ListExecutions in a small region: a bucket of 100, then 2 a second."""
    sfn = aws.impatient("stepfunctions", "ap-south-1")
    arn = "arn:aws:states:ap-south-1:123456789012:stateMachine:none"
    aws.faults({"fault": "throttling"})
    started = time.monotonic()
    outcomes = [outcome(lambda: sfn.list_executions(stateMachineArn=arn)) for _ in range(130)]
    refilled = 2 * (time.monotonic() - started)
    assert 100 <= outcomes.count("StateMachineDoesNotExist") <= 101 + refilled
    assert outcomes.count("ThrottlingException") == 130 - outcomes.count("StateMachineDoesNotExist")
    assert set(outcomes[:100]) == {"StateMachineDoesNotExist"}


def test_boto3_gets_through_by_trying_again(aws: FaultyAws) -> None:
    """Its standard retries know the answer for throttling."""
    machine = aws.machine(PASS)
    aws.faults({"fault": "throttling", "rates": {"states:StartExecution": {"bucket": 1, "refill_per_second": 4}}})
    patient = aws.impatient("stepfunctions", attempts=6)
    answers = [patient.start_execution(stateMachineArn=machine)["ResponseMetadata"] for _ in range(3)]
    assert sum(answer["RetryAttempts"] for answer in answers) > 0


# --- errors and connections -------------------------------------------------------------------------------------------
def test_errors_come_at_their_rate_and_again_the_same_for_the_same_seed(aws: FaultyAws) -> None:
    """A test that failed can be run again; the listing tells how many were struck."""
    sfn = aws.impatient("stepfunctions")

    def struck(seed: int) -> list[str]:
        aws.faults(
            {"fault": "error", "operations": ["states:List*"], "status": 503, "rate": 0.4, "seed": seed, "name": "e"}
        )
        return [outcome(sfn.list_state_machines) for _ in range(30)]

    first = struck(5)
    assert set(first) == {"ok", "ServiceUnavailable"}
    (listed,) = aws.admin("GET")
    assert (listed["candidates"], listed["struck"]) == (30, first.count("ServiceUnavailable"))
    assert struck(5) == first
    assert struck(6) != first


@pytest.mark.parametrize(
    ("service", "operation", "call", "code"),
    [
        ("stepfunctions", "states:ListStateMachines", lambda client: client.list_state_machines(), "InternalFailure"),
        ("sagemaker", "sagemaker:ListProcessingJobs", lambda client: client.list_processing_jobs(), "InternalFailure"),
        ("s3", "s3:ListBuckets", lambda client: client.list_buckets(), "InternalError"),
        ("s3", "s3:GetObject", lambda client: client.get_object(Bucket="b" * 3, Key="k/ä b"), "InternalError"),
        ("s3", "s3:HeadObject", lambda client: client.head_object(Bucket="b" * 3, Key="k"), "500"),
        ("s3", "s3:ListObjectsV2", lambda client: client.list_objects_v2(Bucket="b" * 3), "InternalError"),
        ("iam", "iam:ListRoles", lambda client: client.list_roles(), "InternalFailure"),
        ("sts", "sts:GetCallerIdentity", lambda client: client.get_caller_identity(), "InternalFailure"),
        ("cloudformation", "cloudformation:ListStacks", lambda client: client.list_stacks(), "InternalFailure"),
        ("codebuild", "codebuild:ListProjects", lambda client: client.list_projects(), "InternalFailure"),
        ("ecr", "ecr:DescribeRepositories", lambda client: client.describe_repositories(), "InternalFailure"),
        ("logs", "logs:DescribeLogGroups", lambda client: client.describe_log_groups(), "InternalFailure"),
        ("sqs", "sqs:ListQueues", lambda client: client.list_queues(), "InternalFailure"),
        ("events", "events:ListRules", lambda client: client.list_rules(), "InternalFailure"),
    ],
)
def test_each_service_answers_in_its_own_protocol(
    aws: FaultyAws, service: str, operation: str, call: Callable[[Any], Any], code: str
) -> None:
    """boto3 reads code, status and request id; only the operation that is named is struck."""
    aws.faults({"fault": "error", "operations": [operation], "times": 1})
    client = aws.impatient(service)
    with pytest.raises(ClientError) as caught:
        call(client)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    if "Head" not in operation:  # whose answer has no body, where boto3 looks for it
        assert caught.value.response["ResponseMetadata"]["RequestId"]
    assert outcome(lambda: call(client)) != code


def test_a_connection_that_is_dropped_before_the_operation_leaves_nothing(aws: FaultyAws) -> None:
    """The client sees a lost connection, and the bucket is not there."""
    aws.faults({"fault": "drop", "operations": ["s3:CreateBucket"], "times": 1})
    s3 = aws.impatient("s3")
    assert outcome(lambda: s3.create_bucket(Bucket="never-made")) == "lost"
    assert outcome(lambda: s3.head_bucket(Bucket="never-made")) == "404"
    assert outcome(lambda: s3.create_bucket(Bucket="never-made")) == "ok"


def test_a_lost_response_of_a_start_is_found_by_starting_again(aws: FaultyAws) -> None:
    """The execution runs though nobody heard of it; the same name and input give it back."""
    machine = aws.machine({"Sleep": {"Type": "Wait", "Seconds": 60, "End": True}})
    aws.faults({"fault": "drop", "operations": ["states:StartExecution"], "when": "after", "times": 1})
    sfn = aws.impatient("stepfunctions")
    start = {"stateMachineArn": machine, "name": "once", "input": "{}"}
    assert outcome(lambda: sfn.start_execution(**start)) == "lost"
    arn = sfn.start_execution(**start)["executionArn"]
    assert [one["executionArn"] for one in sfn.list_executions(stateMachineArn=machine)["executions"]] == [arn]
    sfn.stop_execution(executionArn=arn)


def test_an_upload_whose_response_is_lost_is_there(aws: FaultyAws) -> None:
    """Its body was read to the end."""
    s3 = aws.impatient("s3")
    s3.create_bucket(Bucket="lost-upload")
    aws.faults({"fault": "drop", "operations": ["s3:PutObject"], "when": "after"})
    body = b"0123456789" * 200_000
    assert outcome(lambda: s3.put_object(Bucket="lost-upload", Key="k", Body=body)) == "lost"
    assert s3.get_object(Bucket="lost-upload", Key="k")["Body"].read() == body


def test_an_error_after_the_operation_was_carried_out(aws: FaultyAws) -> None:
    """HTTP 500, and the bucket is there."""
    aws.faults({"fault": "error", "operations": ["s3:CreateBucket"], "when": "after", "code": "InternalError"})
    s3 = aws.impatient("s3")
    assert outcome(lambda: s3.create_bucket(Bucket="made-all-the-same")) == "InternalError"
    assert outcome(lambda: s3.head_bucket(Bucket="made-all-the-same")) == "ok"


def test_a_refused_upload_does_not_spoil_the_next_request(aws: FaultyAws) -> None:
    """An answer before the body was read: the client reads it, and goes on."""
    s3 = aws.impatient("s3")
    s3.create_bucket(Bucket="refused-upload")
    aws.faults({"fault": "error", "operations": ["s3:PutObject"], "status": 503, "times": 1})
    body = b"x" * 3_000_000
    assert outcome(lambda: s3.put_object(Bucket="refused-upload", Key="k", Body=body)) == "SlowDown"
    assert outcome(lambda: s3.put_object(Bucket="refused-upload", Key="k", Body=body)) == "ok"
    assert s3.head_object(Bucket="refused-upload", Key="k")["ContentLength"] == len(body)


@pytest.mark.load_dependent
def test_latency(aws: FaultyAws) -> None:
    """The operations that are named begin later; others do not."""
    aws.faults({"fault": "latency", "operations": ["states:ListStateMachines"], "seconds": 0.4, "jitter_seconds": 0.1})
    sfn, s3 = aws.impatient("stepfunctions"), aws.impatient("s3")
    started = time.monotonic()
    sfn.list_state_machines()
    assert time.monotonic() - started >= 0.4
    s3.list_buckets()
    started = time.monotonic()
    s3.list_buckets()
    assert time.monotonic() - started < 0.4


# --- the command ------------------------------------------------------------------------------------------------------
def fault_command(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stepbridge_local.cli.main", "fault", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_sets_lists_and_clears(aws: FaultyAws) -> None:
    """It finds the local AWS by its data folder or by its address."""
    folder = ("--data-dir", str(aws.data_dir))
    set_one = fault_command("set", "error", "--operation", "s3:*", "--status", "503", "--rate", "0.5", "--seed", "3",
                            "--times", "4", "--name", "slow-down", *folder)  # fmt: skip
    assert set_one.returncode == 0, set_one.stderr
    by_address = fault_command(
        "set", "throttling", "--rate", "states:StartExecution=7/0.5", "--endpoint-url", aws.endpoint_url
    )
    assert by_address.returncode == 0, by_address.stderr
    listed = json.loads(fault_command("list", "--json", *folder).stdout)
    assert listed == aws.admin("GET")
    assert [fault["name"] for fault in listed] == ["slow-down", "throttling"]
    assert listed[0] | {"status": 503, "rate": 0.5, "seed": 3, "times": 4, "operations": ["s3:*"]} == listed[0]
    assert listed[1]["rates"] == {"states:StartExecution": {"bucket": 7, "refill_per_second": 0.5}}
    assert "slow-down: error" in fault_command("list", *folder).stdout
    assert fault_command("clear", "slow-down", *folder).returncode == 0
    assert [fault["name"] for fault in aws.admin("GET")] == ["throttling"]
    assert fault_command("set", "throttling", "--rates", "off", *folder).stdout == "no faults are set\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "error", "--operation", "states:StartExecutoin"), "perhaps StartExecution"),
        (("set", "clock", "--speed", "0"), "speed: 0.0; expected greater than or equal to 1"),
        (("set", "drop", "--operation", "s3:*", "--rate", "2"), "rate: 2.0; expected less than or equal to 1"),
        (("clear", "nothing-of-that-name"), "no fault is named 'nothing-of-that-name'"),
    ],
)
def test_what_the_command_refuses_it_says_in_one_text(aws: FaultyAws, words: tuple[str, ...], said: str) -> None:
    """Exit code 1, what was found and what was expected on stderr, no traceback, and nothing is set."""
    done = fault_command(*words, "--data-dir", str(aws.data_dir))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert aws.admin("GET") == []


def test_the_command_without_a_local_aws_says_how_to_start_one(tmp_path: Any) -> None:
    """No folder, or nothing that answers."""
    for where in (("--data-dir", str(tmp_path)), ("--endpoint-url", "http://127.0.0.1:9")):
        done = fault_command("list", *where)
        assert done.returncode == 1
        assert "stepbridge-local up" in done.stderr
