"""stepbridge deploy against the local AWS, checked through boto3."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from stepbridge.core.deployment import Deployment, parse_deployment
from stepbridge.deployment import StackDeployer
from stepbridge.deployment.scikit_image import project_version
from stepbridge.errors import StackFailedError
from stepbridge_local.testing import LocalAwsProcess
from tests.small_disk import MIB, small_disk

PROJECT = Path(__file__).parents[2]
REGION = "us-east-1"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
MISTAKE = ('Action: "iam:PassRole"', 'Action: "PassRole"')  # an action without its service: IAM refuses the policy


@dataclass
class DeployedProject:
    """A project folder that may be edited, its stack's name and a local AWS."""

    aws: LocalAwsProcess
    folder: Path
    said: list[str]
    stack_name: str

    def client(self, service: str) -> Any:
        return self.aws.client(service)

    def session(self) -> boto3.Session:
        return boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION)

    def arguments(self, **changes: Any) -> dict[str, Any]:
        values = {
            "project_root": self.folder,
            "say": self.said.append,
            "endpoint_url": self.aws.endpoint_url,
            "stack_name": self.stack_name,
            "scikit_image": lambda region: IMAGE,  # noqa: ARG005
        }
        return values | changes

    def deploy(self, **changes: Any) -> Deployment:
        self.said.clear()
        return StackDeployer(self.session(), **self.arguments(**changes)).deploy()

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))


@pytest.fixture
def project(local_aws: LocalAwsProcess, tmp_path: Path, request: pytest.FixtureRequest) -> DeployedProject:
    for folder in ("infra", "asl"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    name = f"t{zlib.crc32(request.node.name.encode())}"
    return DeployedProject(local_aws, tmp_path, [], name)


def test_a_first_deploy_creates_everything_and_a_second_one_changes_nothing(project: DeployedProject) -> None:
    """The deployment names what is really there; deploying again is over at once and gives the same."""
    deployment = project.deploy()
    assert project.client("s3").head_bucket(Bucket=deployment.bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    machine = project.client("stepfunctions").describe_state_machine(stateMachineArn=deployment.state_machine_arn)
    source = (PROJECT / "asl" / "batch_inference.asl.json").read_text()
    assert json.loads(machine["definition"]) == json.loads(source.replace("${Partition}", "aws"))
    assert project.client("iam").get_role(RoleName=deployment.processing_role_arn.rpartition("/")[2])["Role"]
    repositories = project.client("ecr").describe_repositories(repositoryNames=[deployment.repository_name])
    assert repositories["repositories"][0]["repositoryUri"] == deployment.repository_uri
    assert repositories["repositories"][0]["imageTagMutability"] == "IMMUTABLE"
    builds = project.client("codebuild").batch_get_projects(names=[deployment.codebuild_project])["projects"][0]
    variables = {v["name"]: v["value"] for v in builds["environment"]["environmentVariables"]}
    assert variables["IMAGE_REPOSITORY_URI"] == deployment.repository_uri
    assert deployment.scikit_image_uri == IMAGE
    assert deployment.endpoint_url == project.aws.endpoint_url

    assert project.deploy() == deployment
    assert project.said == [f"stack {project.stack_name}: nothing to change"]


def test_the_bucket_is_as_the_template_says(project: DeployedProject) -> None:
    """Encryption, public access block, versions, lifecycle and the TLS-only policy are set."""
    bucket, s3 = project.deploy().bucket, project.client("s3")
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rules = {rule["ID"] for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules == {"build-contexts", "superseded-versions", "unfinished-uploads"}
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_an_update_changes_what_was_edited(project: DeployedProject) -> None:
    """A new definition arrives under the same ARN; the bucket keeps what is in it; the plan names the change."""
    before = project.deploy()
    project.client("s3").put_object(Bucket=before.bucket, Key="data/x.csv", Body=b"1")
    project.edit("asl/batch_inference.asl.json", '"Comment": "Batch inference', '"Comment": "Nightly batch inference')
    StackDeployer(project.session(), **project.arguments()).preview()
    assert "  modify StateMachine (AWS::StepFunctions::StateMachine)" in "\n".join(project.said).splitlines()
    assert project.deploy() == before
    machine = project.client("stepfunctions").describe_state_machine(stateMachineArn=before.state_machine_arn)
    assert json.loads(machine["definition"])["Comment"].startswith("Nightly batch inference")
    assert project.client("s3").get_object(Bucket=before.bucket, Key="data/x.csv")["Body"].read() == b"1"


def test_a_parameter_is_kept_by_later_deploys(project: DeployedProject) -> None:
    """Later deploys keep it; here it also adds the policy for a further bucket, and Airflow's role."""
    project.deploy()
    principal = "arn:aws:iam::123456789012:role/airflow"
    project.deploy(parameters={"ReadBucketArns": "arn:aws:s3:::a,arn:aws:s3:::b", "AirflowPrincipalArn": principal})
    project.deploy()
    assert project.said == [f"stack {project.stack_name}: nothing to change"]
    iam = project.client("iam")
    role = f"{project.stack_name}-{REGION}-processing"
    policy = iam.get_role_policy(RoleName=role, PolicyName="read-further-buckets")["PolicyDocument"]
    assert policy["Statement"][1]["Resource"] == ["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"]
    airflow = iam.get_role(RoleName=f"{project.stack_name}-{REGION}-airflow")["Role"]
    assert airflow["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"AWS": principal}


@pytest.mark.long
def test_a_template_too_large_for_the_call_goes_through_the_bucket(project: DeployedProject) -> None:
    """Once the stack's bucket exists, the template is uploaded to it; the deploy after that finds nothing to change."""
    project.deploy()
    project.edit("asl/batch_inference.asl.json", '"Comment": "Batch inference', f'"Comment": "{"long " * 10_000}')
    deployment = project.deploy()
    assert f"to s3://{deployment.bucket}/stepbridge/templates/" in project.said[0]
    machine = project.client("stepfunctions").describe_state_machine(stateMachineArn=deployment.state_machine_arn)
    assert json.loads(machine["definition"])["Comment"].startswith("long long ")
    project.deploy()
    assert project.said == [f"stack {project.stack_name}: nothing to change"]


def test_a_preview_changes_nothing(project: DeployedProject) -> None:
    """--dry-run says what would be created, and creates nothing."""
    StackDeployer(project.session(), **project.arguments()).preview()
    assert project.said[0].startswith(f"would create stack {project.stack_name}\n  add Bucket (AWS::S3::Bucket)")
    stacks = project.client("cloudformation").describe_stacks()["Stacks"]
    assert project.stack_name not in [stack["StackName"] for stack in stacks]


def test_a_failed_creation_names_the_reason_and_is_created_again(project: DeployedProject) -> None:
    """The resource and its reason are in the error; the next deploy deletes what is left and succeeds."""
    project.edit("infra/stack.yaml", *MISTAKE)
    with pytest.raises(StackFailedError) as caught:
        project.deploy()
    assert [failure.logical_id for failure in caught.value.failures] == ["StateMachineRole"]
    assert "StateMachineRole (AWS::IAM::Role) CREATE_FAILED: " in str(caught.value)
    project.edit("infra/stack.yaml", *reversed(MISTAKE))
    assert project.deploy().stack_name == project.stack_name
    assert project.said[0].startswith(f"delete stack {project.stack_name}: its creation failed, ROLLBACK_COMPLETE")


def test_a_failed_update_is_undone(project: DeployedProject) -> None:
    """The stack keeps what worked, the error names the reason, and the next deploy succeeds."""
    deployment = project.deploy()
    project.edit("infra/stack.yaml", *MISTAKE)
    with pytest.raises(StackFailedError, match=r"StateMachineRole .* UPDATE_FAILED: "):
        project.deploy()
    role = f"{project.stack_name}-{REGION}-batch-inference"
    policy = project.client("iam").get_role_policy(RoleName=role, PolicyName="run-stages")["PolicyDocument"]
    assert policy["Statement"][1]["Action"] == "iam:PassRole"
    project.edit("infra/stack.yaml", *reversed(MISTAKE))
    assert project.deploy() == deployment


@pytest.mark.long
def test_a_deleted_stack_leaves_its_data_to_the_next_one(project: DeployedProject) -> None:
    """Bucket and repository outlive the stack, and a later deploy adopts them with their contents."""
    deployment = project.deploy()
    project.client("s3").put_object(Bucket=deployment.bucket, Key="data/x.csv", Body=b"1")
    project.client("cloudformation").delete_stack(StackName=project.stack_name)
    assert project.deploy() == deployment
    assert f"  adopt {deployment.bucket}, which outlived an earlier stack" in "\n".join(project.said).splitlines()
    assert project.client("s3").get_object(Bucket=deployment.bucket, Key="data/x.csv")["Body"].read() == b"1"


@pytest.mark.long
def test_deploy_succeeds_after_a_restart_of_the_local_aws(own_local_aws: LocalAwsProcess) -> None:
    """Objects and repositories are still there, the stack is not: they are adopted."""
    own = DeployedProject(own_local_aws, PROJECT, [], "again")
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
    own = DeployedProject(own_local_aws, PROJECT, [], "events")
    for _ in range(2):
        deployment = own.deploy()
        assert deployment.events_queue_url == f"{own.aws.endpoint_url}/123456789012/events-execution-ends"
        stepfunctions = own.client("stepfunctions")
        arn = stepfunctions.start_execution(stateMachineArn=deployment.state_machine_arn, input="{}")["executionArn"]
        answer = own.client("sqs").receive_message(QueueUrl=deployment.events_queue_url, WaitTimeSeconds=20)
        (event,) = (json.loads(message["Body"]) for message in answer["Messages"])
        assert event["detail"]["executionArn"] == arn
        assert event["detail"]["status"] == "FAILED"  # its input is empty
        own_local_aws.restart()


@pytest.mark.long
def test_events_can_be_switched_off_and_on(project: DeployedProject) -> None:
    """Without them the stack has no queue and no rule, and the deployment says so."""
    assert project.deploy(parameters={"ExecutionEvents": "false"}).events_queue_url is None
    assert project.client("events").list_rules(NamePrefix=project.stack_name)["Rules"] == []
    queue_url = project.deploy(parameters={"ExecutionEvents": "true"}).events_queue_url
    assert queue_url is not None
    attributes = project.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])["Attributes"]
    assert (attributes["MessageRetentionPeriod"], attributes["SqsManagedSseEnabled"]) == ("60", "true")
    assert "events.amazonaws.com" in attributes["Policy"]
    project.deploy(parameters={"ExecutionEvents": "false"})
    assert "QueueUrls" not in project.client("sqs").list_queues(QueueNamePrefix=project.stack_name)


def test_another_version_of_the_scikit_learn_image_is_told(project: DeployedProject) -> None:
    """A stack keeps its image; a project that stands for another one hears of it at each deploy."""
    project.deploy()
    assert not [line for line in project.said if "stands for version" in line]
    shutil.copytree(PROJECT / "containers" / "scikit_learn", project.folder / "containers" / "scikit_learn")
    deployment = project.deploy()
    assert deployment.scikit_image_uri == IMAGE
    (line,) = [line for line in project.said if "stands for version" in line]
    assert IMAGE in line
    assert f"version {project_version(PROJECT)}" in line


def test_the_command_prints_nothing_but_the_deployment(project: DeployedProject) -> None:
    """stdout is the JSON, progress is on stderr, --output holds the same; no credentials are needed here."""
    shutil.copytree(PROJECT / "containers" / "scikit_learn", project.folder / "containers" / "scikit_learn")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    output = project.folder / "deployment.json"
    command = [sys.executable, "-m", "stepbridge.cli.main", "deploy", "--endpoint-url", project.aws.endpoint_url]
    command += ["--stack-name", project.stack_name, "--project", str(project.folder), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    deployment = parse_deployment(done.stdout)
    assert deployment == parse_deployment(output.read_text())
    assert f"/sagemaker-scikit-learn:{project_version(PROJECT)}-cpu-py3" in deployment.scikit_image_uri
    assert f"create stack {project.stack_name}" in done.stderr


def test_an_output_that_cannot_be_written_is_as_it_was(project: DeployedProject, tmp_path: Path) -> None:
    """On a full disk the deployment is printed, and the file of the last deploy is still whole."""
    shutil.copytree(PROJECT / "containers" / "scikit_learn", project.folder / "containers" / "scikit_learn")
    with small_disk(tmp_path / "disk", MIB) as disk:
        (disk.seen / "last.json").write_text("sound")
        disk.fill()
        output = f"{disk.folder}/last.json"
        command = ("deploy", "--endpoint-url", project.aws.endpoint_url, "--stack-name", project.stack_name)
        done = disk.run(*command, "--output", output, project=project.folder)
        assert done.returncode == 1
        last_line = done.stderr.splitlines()[-1]
        assert last_line == f"{output}: No space left on device; make room on its disk, then run it again"
        assert parse_deployment(done.stdout).stack_name == project.stack_name
        assert disk.files() == ["last.json"]
        assert (disk.seen / "last.json").read_text() == "sound"
