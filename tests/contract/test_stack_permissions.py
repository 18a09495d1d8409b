"""The stack's roles with permissions enforced: the main path passes, and fails without any one of their statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.s3 import S3
from stepbridge.deployment._template import parse_template
from stepbridge.errors import AwsError, StackFailedError
from stepbridge_local.testing import LocalAwsProcess
from tests.contract.iam_stack import (
    FURTHER_READ,
    FURTHER_WRITE,
    KEYS,
    OTHER_KEY,
    PROJECT,
    Stack,
    StepFailedError,
    statements_of,
)

TEMPLATE = PROJECT / "infra" / "stack.yaml"
STATEMENTS = [name for name, _, _ in statements_of(parse_template(TEMPLATE.read_text(), str(TEMPLATE)))]
FURTHER = f"s3://{FURTHER_WRITE}"


def build(stack: Stack) -> None:
    stack.build()


def upload(stack: Stack) -> None:
    stack.upload()


def execute(stack: Stack) -> None:
    stack.execute(("preprocessing",))


def run_the_image(stack: Stack) -> None:
    stack.execute(("inference",))


def read_an_event(stack: Stack) -> None:
    stack.read_an_event()


def notify(stack: Stack) -> None:
    stack.notify()


def deploy_another(stack: Stack) -> None:
    stack.deploy_another("iam-another")


def run_an_image_of_another_repository(stack: Stack) -> None:
    stack.execute(("inference",), image=stack.copy_image())


def read_another_bucket(stack: Stack) -> None:
    stack.execute(("preprocessing",), input_uri=f"s3://{FURTHER_READ}/input/")


def write_to_another_bucket(stack: Stack) -> None:
    stack.execute(("preprocessing",), input_uri=f"{FURTHER}/input/", output_uri=f"{FURTHER}/output")


def look_into_another_bucket(stack: Stack) -> None:
    """What InputSensor and the run report do where a model's input lies elsewhere."""
    s3, uri = S3(stack.client("s3")), S3Uri(FURTHER_READ, "input/a.txt")
    assert s3.objects(uri, 10)[0]
    assert b"".join(s3.read(uri)) == b"further\n"


def report_in_another_bucket(stack: Stack) -> None:
    """What the run report does where a model's output lies elsewhere."""
    s3, uri = S3(stack.client("s3")), S3Uri(FURTHER_WRITE, "input/a.txt")
    assert s3.objects(uri, 10)[0]
    assert b"".join(s3.read(uri)) == b"further\n"
    s3.write(S3Uri(FURTHER_WRITE, "output/_stepbridge/run.json"), b"{}", "application/json")


# What S3 asks of whoever reads or writes an object that a key encrypts. The local S3 encrypts nothing, so IAM is asked.
NEEDS_OF_S3 = ("kms:Decrypt", "kms:GenerateDataKey")
OTHER_USES = ("kms:Encrypt", "kms:DescribeKey", "kms:CreateGrant", "kms:ScheduleKeyDeletion", "kms:PutKeyPolicy")


def use_keys(stack: Stack, role: str) -> None:
    """Exactly that, with exactly those keys that the parameter names."""
    for action, key in ((action, key) for action in NEEDS_OF_S3 for key in KEYS):
        if (found := stack.may(role, action, key)) != "allowed":
            raise StepFailedError(f"{role}: {action} on {key} is {found}")
    asked = [(action, OTHER_KEY) for action in NEEDS_OF_S3] + [(action, KEYS[0]) for action in OTHER_USES]
    assert {stack.may(role, action, key) for action, key in asked} == {"implicitDeny"}


def use_keys_in_jobs(stack: Stack) -> None:
    """What a job's container does where a bucket of its data is encrypted."""
    use_keys(stack, "processing")


def use_keys_in_airflow(stack: Stack) -> None:
    """Likewise, when it counts outputs and writes reports."""
    use_keys(stack, "airflow")


def override_the_buildspec(stack: Stack) -> None:
    """Whoever may start builds must not run other commands with the build's role."""
    codebuild, project = stack.client("codebuild"), stack.deployment.codebuild_project
    buildspec = "version: 0.2\nphases: {build: {commands: [id]}}\n"
    refused = ""
    try:
        codebuild.start_build(projectName=project, buildspecOverride=buildspec)
    except ClientError as error:
        refused = str(error)
    if "with an explicit deny in an identity-based policy" not in refused:
        raise StepFailedError("a build ran another buildspec")


def leave_scripts_alone(stack: Stack) -> None:
    """A job that writes where scripts and build contexts lie must fail."""
    failure = ""
    try:
        stack.execute(("preprocessing",), output_uri=f"s3://{stack.deployment.bucket}/stepbridge/evil")
    except StepFailedError as failed:
        failure = str(failed)
    if not failure:
        raise StepFailedError("a job wrote into stepbridge/")
    assert "s3:PutObject" in failure
    assert "with an explicit deny in an identity-based policy" in failure


# The part of the main path that each statement is for, and what is missing without it.
PARTS: Mapping[str, tuple[Callable[[Stack], None], str]] = {
    "BuildRole.WriteItsLog": (build, "logs:CreateLogStream"),
    "BuildRole.ReadBuildContexts": (build, "s3:GetObject"),
    "BuildRole.LogInToEcr": (build, "ecr:GetAuthorizationToken"),
    "BuildRole.PushModelImages": (build, "ecr:BatchGetImage"),
    "BuildRole.PullTheScikitLearnImage": (build, "ecr:BatchGetImage"),
    "ProcessingRole.ListTheBucket": (execute, "s3:ListBucket"),
    "ProcessingRole.ReadAndWriteData": (execute, "s3:GetObject"),
    "ProcessingRole.LeaveScriptsAndBuildContextsAlone": (leave_scripts_alone, "a job wrote into stepbridge/"),
    "ProcessingRole.WriteLogs": (execute, "last read: []"),  # SageMaker does not fail a job for it
    "ProcessingRole.LogInToEcr": (execute, "ecr:GetAuthorizationToken"),
    "ProcessingRole.PullImages": (run_the_image, "ecr:BatchGetImage"),
    "PullFurtherImages.0": (run_an_image_of_another_repository, "ecr:BatchGetImage"),
    "ReadFurtherBuckets.0": (read_another_bucket, "s3:ListBucket"),
    "ReadFurtherBuckets.1": (read_another_bucket, "s3:GetObject"),
    "WriteFurtherBuckets.0": (write_to_another_bucket, "s3:ListBucket"),
    "WriteFurtherBuckets.1": (write_to_another_bucket, "s3:GetObject"),
    "StateMachineRole.RunProcessingJobs": (execute, "sagemaker:CreateProcessingJob"),
    "StateMachineRole.LetJobsUseTheirRole": (execute, "iam:PassRole"),
    "StateMachineRole.NoticeTheEndOfJobs": (deploy_another, "is not authorized to create managed-rule"),
    "StateMachineRole.DeliverItsLog": (deploy_another, "is not authorized to access the Log Destination"),
    "AirflowPolicy.StartAndListExecutions": (execute, "states:StartExecution"),
    "AirflowPolicy.FollowAndEndExecutions": (execute, "states:DescribeExecution"),
    "AirflowPolicy.LearnOfEndsOfExecutions": (read_an_event, "sqs:ReceiveMessage"),
    "AirflowPolicy.NotifyOfFailures": (notify, "sns:Publish"),
    "AirflowPolicy.ListTheBucket": (upload, "without s3:ListBucket on the bucket a missing object reads as denied too"),
    "AirflowPolicy.ReadData": (execute, "s3:GetObject"),
    "AirflowPolicy.UploadScriptsAndBuildContextsAndReports": (upload, "s3:PutObject"),
    "AirflowPolicy.BuildImages": (build, "codebuild:ListBuildsForProject"),
    "AirflowPolicy.RunTheProjectsBuildspecOnly": (override_the_buildspec, "a build ran another buildspec"),
    "AirflowPolicy.ListBucketsToRead": (look_into_another_bucket, "s3:ListBucket"),
    "AirflowPolicy.ReadFurtherData": (look_into_another_bucket, "s3:GetObject"),
    "AirflowPolicy.ListBucketsToWrite": (report_in_another_bucket, "s3:ListBucket"),
    "AirflowPolicy.ReadWrittenData": (report_in_another_bucket, "s3:GetObject"),
    "AirflowPolicy.WriteReports": (report_in_another_bucket, "s3:PutObject"),
    "UseKmsKeys.0": (use_keys_in_jobs, "kms:Decrypt"),
    "AirflowPolicy.UseKmsKeys": (use_keys_in_airflow, "kms:Decrypt"),
    "AirflowPolicy.FindImages": (build, "ecr:DescribeImages"),
    "AirflowPolicy.DescribeJobs": (execute, "sagemaker:DescribeProcessingJob"),
    "AirflowPolicy.ReadLogs": (build, "logs:GetLogEvents"),
}
NOT_EXERCISED: Mapping[str, str] = {
    "BuildRole.FindTheBucket": "CodeBuild looks at a bucket's owner and region before it reads the source; the local "
    "AWS reads the object only",
    "ProcessingRole.PublishInstanceMetrics": "the local AWS publishes no instance metrics of jobs",
    "TraceExecutions.SendTraces": "the local AWS sends no traces to X-Ray",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on a local AWS that enforces permissions, its image built and its scripts uploaded."""
    folder = tmp_path_factory.mktemp("iam-stack")
    scikit_learn = folder / "scikit_learn"
    scikit_learn.mkdir()
    (scikit_learn / "Dockerfile").write_text("FROM python:3\n")
    (folder / "project").mkdir()
    aws = LocalAwsProcess(folder / "data", ("--enforce-iam", "--scikit-learn", str(scikit_learn)))
    aws.start()
    stack = Stack.deploy(aws, folder / "project")
    stack.build()
    stack.upload()
    yield stack
    assert aws.stop() == 0, aws.log.read_text()


def test_every_statement_is_exercised_or_has_a_reason_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    """The table of those that nothing on the local AWS needs is printed."""
    assert sorted({**PARTS, **NOT_EXERCISED}) == sorted(STATEMENTS)
    assert not set(PARTS) & set(NOT_EXERCISED)
    with capsys.disabled():
        print("\n\nStatements that the local AWS cannot exercise:")
        for name, reason in NOT_EXERCISED.items():
            print(f"  {name}: {reason}")


def test_the_main_path_passes_with_permissions_enforced(stack: Stack) -> None:
    """Build, upload, three stages, report: with a role assumed from the Airflow policy, and the stack's other roles."""
    stack.change("")
    stack.build()
    stack.upload()
    stack.execute()


@pytest.mark.parametrize("part", sorted({part for part, _ in PARTS.values()}, key=lambda part: part.__name__))
def test_each_part_passes_with_every_statement(stack: Stack, part: Callable[[Stack], None]) -> None:
    """So that what fails below fails for the missing statement."""
    stack.change("")
    part(stack)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.long
def test_each_statement_is_needed(stack: Stack, name: str) -> None:
    """Without it, the part of the path that it is for fails, and says what is not allowed."""
    part, missing = PARTS[name]
    stack.change(name)
    with pytest.raises((AwsError, ClientError, StepFailedError, StackFailedError)) as caught:
        part(stack)
    assert missing in str(caught.value)


@pytest.mark.parametrize(
    ("role", "part", "said"),
    [
        ("BuildRole", build, "CodeBuild is not authorized to perform: sts:AssumeRole on"),
        ("ProcessingRole", execute, "allows principal 'sagemaker.amazonaws.com' to assume the role"),
        ("StateMachineRole", execute, "States.Permissions: Neither the global service principal states.amazonaws.com"),
    ],
)
@pytest.mark.long
def test_a_role_is_only_for_the_stacks_account(
    stack: Stack, role: str, part: Callable[[Stack], None], said: str
) -> None:
    """A service that acts for another account's resource cannot assume it: the confused deputy."""
    stack.change("")
    stack.distrust(role)
    with pytest.raises((AwsError, StepFailedError)) as caught:
        part(stack)
    assert said in str(caught.value)


def test_builds_and_the_state_machine_use_no_key(stack: Stack) -> None:
    """Only jobs and Airflow reach data that is encrypted with them."""
    stack.change("")
    for role in ("build-image", "batch-inference"):
        assert {stack.may(role, action, key) for action in NEEDS_OF_S3 for key in KEYS} == {"implicitDeny"}


def test_the_deployed_project_is_the_repositorys(tmp_path: Path, stack: Stack) -> None:
    """What loses statements here is infra/stack.yaml itself."""
    assert stack.template == parse_template(TEMPLATE.read_text(), str(tmp_path))
