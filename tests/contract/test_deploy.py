"""stepbridge deploy against the local AWS, looked at through boto3."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from stepbridge.core.deployment import Deployment, parse_deployment
from stepbridge.deployment import deploy_stack, preview_deployment
from stepbridge.errors import StackFailedError
from stepbridge_local.testing import LocalAwsProcess

PROJECT = Path(__file__).parents[2]
REGION = "us-east-1"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
MISTAKE = ('Action: "iam:PassRole"', 'Action: "PassRole"')  # an action without its service: IAM refuses the policy


@dataclass
class Bench:
    """One project folder that may be edited, one stack name, one local AWS."""

    aws: LocalAwsProcess
    project: Path
    said: list[str]
    stack_name: str

    def client(self, service: str) -> Any:
        return self.aws.client(service)

    def session(self) -> boto3.Session:
        return boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION)

    def arguments(self, **changes: Any) -> dict[str, Any]:
        values = {
            "project_root": self.project,
            "say": self.said.append,
            "endpoint_url": self.aws.endpoint_url,
            "stack_name": self.stack_name,
            "scikit_image": lambda region: IMAGE,  # noqa: ARG005
        }
        return values | changes

    def deploy(self, **changes: Any) -> Deployment:
        self.said.clear()
        return deploy_stack(self.session(), **self.arguments(**changes))

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.project / file).read_text()
        assert old in text
        (self.project / file).write_text(text.replace(old, new))


@pytest.fixture
def bench(local_aws: LocalAwsProcess, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    for folder in ("infra", "asl"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    name = f"t{zlib.crc32(request.node.name.encode())}"
    return Bench(local_aws, tmp_path, [], name)


def test_a_first_deploy_makes_everything_and_a_second_one_nothing(bench: Bench) -> None:
    """The deployment names what is really there; deploying again is over at once and gives the same."""
    deployment = bench.deploy()
    assert bench.client("s3").head_bucket(Bucket=deployment.bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    machine = bench.client("stepfunctions").describe_state_machine(stateMachineArn=deployment.state_machine_arn)
    source = json.loads((PROJECT / "asl" / "batch_inference.asl.json").read_text())
    assert json.loads(machine["definition"]) == source
    assert bench.client("iam").get_role(RoleName=deployment.processing_role_arn.rpartition("/")[2])["Role"]
    repositories = bench.client("ecr").describe_repositories(repositoryNames=[deployment.repository_name])
    assert repositories["repositories"][0]["repositoryUri"] == deployment.repository_uri
    assert repositories["repositories"][0]["imageTagMutability"] == "IMMUTABLE"
    project = bench.client("codebuild").batch_get_projects(names=[deployment.codebuild_project])["projects"][0]
    variables = {v["name"]: v["value"] for v in project["environment"]["environmentVariables"]}
    assert variables["IMAGE_REPOSITORY_URI"] == deployment.repository_uri
    assert deployment.scikit_image_uri == IMAGE
    assert deployment.endpoint_url == bench.aws.endpoint_url

    assert bench.deploy() == deployment
    assert bench.said == [f"stack {bench.stack_name}: nothing to change"]


def test_the_bucket_is_as_the_template_says(bench: Bench) -> None:
    """Encryption, public access block, versions, lifecycle and the TLS-only policy are really set."""
    bucket, s3 = bench.deploy().bucket, bench.client("s3")
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rules = {rule["ID"] for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules == {"build-contexts", "superseded-versions", "unfinished-uploads"}
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_an_update_changes_what_was_edited(bench: Bench) -> None:
    """A new definition arrives under the same ARN; the bucket keeps what is in it; the plan names the change."""
    before = bench.deploy()
    bench.client("s3").put_object(Bucket=before.bucket, Key="data/x.csv", Body=b"1")
    bench.edit("asl/batch_inference.asl.json", '"Comment": "Batch inference', '"Comment": "Nightly batch inference')
    preview_deployment(bench.session(), **bench.arguments())
    assert "  modify StateMachine (AWS::StepFunctions::StateMachine)" in "\n".join(bench.said).splitlines()
    assert bench.deploy() == before
    machine = bench.client("stepfunctions").describe_state_machine(stateMachineArn=before.state_machine_arn)
    assert json.loads(machine["definition"])["Comment"].startswith("Nightly batch inference")
    assert bench.client("s3").get_object(Bucket=before.bucket, Key="data/x.csv")["Body"].read() == b"1"


def test_a_parameter_is_kept_by_later_deploys(bench: Bench) -> None:
    """Given once, it holds; here it also makes the policy that a further bucket needs, and Airflow's role."""
    bench.deploy()
    principal = "arn:aws:iam::123456789012:role/airflow"
    bench.deploy(parameters={"ReadBucketArns": "arn:aws:s3:::a,arn:aws:s3:::b", "AirflowPrincipalArn": principal})
    bench.deploy()
    assert bench.said == [f"stack {bench.stack_name}: nothing to change"]
    iam = bench.client("iam")
    role = f"{bench.stack_name}-{REGION}-processing"
    policy = iam.get_role_policy(RoleName=role, PolicyName="read-further-buckets")["PolicyDocument"]
    assert policy["Statement"][1]["Resource"] == ["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"]
    airflow = iam.get_role(RoleName=f"{bench.stack_name}-{REGION}-airflow")["Role"]
    assert airflow["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"AWS": principal}


def test_a_template_too_large_for_the_call_goes_through_the_bucket(bench: Bench) -> None:
    """Once the stack's bucket exists, the template is uploaded to it; the deploy after that finds nothing to change."""
    bench.deploy()
    bench.edit("asl/batch_inference.asl.json", '"Comment": "Batch inference', f'"Comment": "{"long " * 10_000}')
    deployment = bench.deploy()
    assert f"to s3://{deployment.bucket}/stepbridge/templates/" in bench.said[0]
    machine = bench.client("stepfunctions").describe_state_machine(stateMachineArn=deployment.state_machine_arn)
    assert json.loads(machine["definition"])["Comment"].startswith("long long ")
    bench.deploy()
    assert bench.said == [f"stack {bench.stack_name}: nothing to change"]


def test_a_preview_changes_nothing(bench: Bench) -> None:
    """--dry-run says what would be made, and makes none of it."""
    preview_deployment(bench.session(), **bench.arguments())
    assert bench.said[0].startswith(f"would create stack {bench.stack_name}\n  add Bucket (AWS::S3::Bucket)")
    stacks = bench.client("cloudformation").describe_stacks()["Stacks"]
    assert bench.stack_name not in [stack["StackName"] for stack in stacks]


def test_a_failed_creation_names_the_reason_and_is_made_anew(bench: Bench) -> None:
    """The resource and its reason are in the error; the next deploy clears the remains away and succeeds."""
    bench.edit("infra/stack.yaml", *MISTAKE)
    with pytest.raises(StackFailedError) as caught:
        bench.deploy()
    assert [failure.logical_id for failure in caught.value.failures] == ["StateMachineRole"]
    assert "StateMachineRole (AWS::IAM::Role) CREATE_FAILED: " in str(caught.value)
    bench.edit("infra/stack.yaml", *reversed(MISTAKE))
    assert bench.deploy().stack_name == bench.stack_name
    assert bench.said[0].startswith(f"delete stack {bench.stack_name}: its creation failed, ROLLBACK_COMPLETE")


def test_a_failed_update_is_undone(bench: Bench) -> None:
    """The stack keeps what worked, the error names the reason, and the next deploy succeeds."""
    deployment = bench.deploy()
    bench.edit("infra/stack.yaml", *MISTAKE)
    with pytest.raises(StackFailedError, match=r"StateMachineRole .* UPDATE_FAILED: "):
        bench.deploy()
    role = f"{bench.stack_name}-{REGION}-batch-inference"
    policy = bench.client("iam").get_role_policy(RoleName=role, PolicyName="run-stages")["PolicyDocument"]
    assert policy["Statement"][1]["Action"] == "iam:PassRole"
    bench.edit("infra/stack.yaml", *reversed(MISTAKE))
    assert bench.deploy() == deployment


def test_a_deleted_stack_leaves_its_data_to_the_next_one(bench: Bench) -> None:
    """Bucket and repository outlive the stack, and a later deploy adopts them with what they hold."""
    deployment = bench.deploy()
    bench.client("s3").put_object(Bucket=deployment.bucket, Key="data/x.csv", Body=b"1")
    bench.client("cloudformation").delete_stack(StackName=bench.stack_name)
    assert bench.deploy() == deployment
    assert f"  adopt {deployment.bucket}, which outlived an earlier stack" in "\n".join(bench.said).splitlines()
    assert bench.client("s3").get_object(Bucket=deployment.bucket, Key="data/x.csv")["Body"].read() == b"1"


def test_deploy_succeeds_after_a_restart_of_the_local_aws(own_local_aws: LocalAwsProcess) -> None:
    """Objects and repositories are still there, the stack is not: they are adopted."""
    own = Bench(own_local_aws, PROJECT, [], "again")
    before = own.deploy()
    own.client("s3").put_object(Bucket=before.bucket, Key="data/x.csv", Body=b"1")
    own_local_aws.restart()
    after = own.deploy()
    moved = {"endpoint_url": before.endpoint_url, "events_queue_url": before.events_queue_url}  # the port is another
    assert after.model_copy(update=moved) == before
    assert f"  adopt {after.repository_name}, which outlived an earlier stack" in "\n".join(own.said).splitlines()
    assert own.client("s3").get_object(Bucket=after.bucket, Key="data/x.csv")["Body"].read() == b"1"


def test_ends_of_executions_reach_the_stacks_queue(own_local_aws: LocalAwsProcess) -> None:
    """Also after a restart of the local AWS, which forgets stacks, and a deploy; the rule selects ends only."""
    own = Bench(own_local_aws, PROJECT, [], "told")
    for _ in range(2):
        deployment = own.deploy()
        assert deployment.events_queue_url == f"{own.aws.endpoint_url}/123456789012/told-execution-ends"
        stepfunctions = own.client("stepfunctions")
        arn = stepfunctions.start_execution(stateMachineArn=deployment.state_machine_arn, input="{}")["executionArn"]
        answer = own.client("sqs").receive_message(QueueUrl=deployment.events_queue_url, WaitTimeSeconds=20)
        (event,) = (json.loads(message["Body"]) for message in answer["Messages"])
        assert event["detail"]["executionArn"] == arn
        assert event["detail"]["status"] == "FAILED"  # nothing of its input was given
        own_local_aws.restart()


def test_events_can_be_switched_off_and_on(bench: Bench) -> None:
    """Without them the stack has no queue and no rule, and the deployment says so."""
    assert bench.deploy(parameters={"ExecutionEvents": "false"}).events_queue_url is None
    assert bench.client("events").list_rules(NamePrefix=bench.stack_name)["Rules"] == []
    queue_url = bench.deploy(parameters={"ExecutionEvents": "true"}).events_queue_url
    assert queue_url is not None
    attributes = bench.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])["Attributes"]
    assert (attributes["MessageRetentionPeriod"], attributes["SqsManagedSseEnabled"]) == ("60", "true")
    assert "events.amazonaws.com" in attributes["Policy"]
    bench.deploy(parameters={"ExecutionEvents": "false"})
    assert "QueueUrls" not in bench.client("sqs").list_queues(QueueNamePrefix=bench.stack_name)


def test_a_message_vanishes_at_the_end_of_its_retention(own_local_aws: LocalAwsProcess) -> None:
    """And keeps none behind it from being received."""
    sqs = own_local_aws.client("sqs")
    url = sqs.create_queue(QueueName="forgets", Attributes={"MessageRetentionPeriod": "60"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="old")
    time.sleep(61)  # the shortest retention that SQS has
    sqs.send_message(QueueUrl=url, MessageBody="new")
    answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, MaxNumberOfMessages=10)
    assert [message["Body"] for message in answer["Messages"]] == ["new"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    assert attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"


def test_the_command_prints_nothing_but_the_deployment(bench: Bench) -> None:
    """stdout is the JSON, progress is on stderr, --output holds the same; no credentials are needed here."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    output = bench.project / "deployment.json"
    command = [sys.executable, "-m", "stepbridge.cli.main", "deploy", "--endpoint-url", bench.aws.endpoint_url]
    command += ["--stack-name", bench.stack_name, "--project", str(bench.project), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    deployment = parse_deployment(done.stdout)
    assert deployment == parse_deployment(output.read_text())
    assert "/sagemaker-scikit-learn:" in deployment.scikit_image_uri
    assert f"create stack {bench.stack_name}" in done.stderr
