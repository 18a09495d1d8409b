"""A deployed stack whose policies can be deployed without one of their statements, and the steps of its main path.

``Stack`` deploys ``infra/stack.yaml`` to a local AWS that enforces permissions. Its ``build``, ``upload`` and
``execute`` do what the operators and the sensor do, with the same classes and the credentials of a role with the
stack's Airflow policy. Each raises what stopped it.
"""

from __future__ import annotations

import copy
import itertools
import json
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.codebuild import CodeBuild
from stepbridge.aws.ecr import Ecr
from stepbridge.aws.iam import policy_decision
from stepbridge.aws.logs import CloudWatchLogs
from stepbridge.aws.s3 import S3
from stepbridge.aws.sagemaker import SageMaker
from stepbridge.aws.sqs import Sqs
from stepbridge.aws.step_functions import StepFunctions
from stepbridge.core.deployment import Deployment
from stepbridge.core.execution_input import ExecutionInput
from stepbridge.core.run_report.build import build_run_report
from stepbridge.core.run_report.history import job_names
from stepbridge.core.run_report.model import RunReport
from stepbridge.deployment import StackDeployer
from stepbridge.deployment._template import parse_template
from stepbridge_local.testing import ACCOUNT, REGION, LocalAwsProcess

PROJECT = Path(__file__).parents[2]
SCIKIT_IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
DOCKERFILE = f'FROM {SCIKIT_IMAGE}\nWORKDIR /app\nCOPY predict.py .\nENTRYPOINT ["python", "/app/predict.py"]\n'
SCRIPT = """\
import pathlib
for source in pathlib.Path("/opt/ml/processing/input").glob("*.txt"):
    print("reads", source.name)
    pathlib.Path("/opt/ml/processing/output", source.name).write_text(source.read_text() + "{stage}\\n")
"""
STAGES = ("preprocessing", "inference", "postprocessing")
KEYS = [f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{name}" for name in ("of-read", "of-write")]
OTHER_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/of-somebody-else"
FURTHER_IMAGES, FURTHER_READ, FURTHER_WRITE = "further-images", "further-read", "further-write"
WITHIN_SECONDS = 180.0


class StepFailedError(Exception):
    """A step of the main path did not do what it is for."""


def statements_of(template: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]], int]]:
    """Name, list and place of every statement of an identity's policies: ``BuildRole.WriteItsLog``."""
    for logical_id, resource in template["Resources"].items():
        properties = resource["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for place, statement in enumerate(document["Statement"]):
                yield f"{logical_id}.{statement.get('Sid', place)}", document["Statement"], place


@dataclass
class Stack:
    """A project folder, a stack deployed from it, and its main path."""

    aws: LocalAwsProcess
    project: Path
    name: str
    deployment: Deployment
    airflow_keys: dict[str, str]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    image: str = ""
    code_uri: str = ""
    _missing: str = ""

    @classmethod
    def deploy(cls, aws: LocalAwsProcess, folder: Path) -> Stack:
        """A new stack with further buckets and a further repository, and a user that may assume its Airflow role."""
        for part in ("infra", "asl"):
            shutil.copytree(PROJECT / part, folder / part)
        iam, s3, ecr = aws.client("iam"), aws.client("s3"), aws.client("ecr")
        user = iam.create_user(UserName="airflow")["User"]["Arn"]
        key = iam.create_access_key(UserName="airflow")["AccessKey"]
        for bucket in (FURTHER_READ, FURTHER_WRITE):
            s3.create_bucket(Bucket=bucket)
            s3.put_object(Bucket=bucket, Key="input/a.txt", Body=b"further\n")
        repository = ecr.create_repository(repositoryName=FURTHER_IMAGES)["repository"]["repositoryArn"]
        keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        parameters = {
            "AirflowPrincipalArn": user,
            "PullRepositoryArns": repository,
            "ReadBucketArns": f"arn:aws:s3:::{FURTHER_READ}",
            "WriteBucketArns": f"arn:aws:s3:::{FURTHER_WRITE}",
            "KmsKeyArns": ",".join(KEYS),
        }
        stack = cls(aws, folder, "iam", _deployed(aws, folder, "iam", parameters), keys)
        s3.put_object(Bucket=stack.deployment.bucket, Key="input/a.txt", Body=b"a\n")
        return stack

    def change(self, name: str) -> None:
        """Deploy it without the statement of that name; the empty name puts everything back."""
        if name == self._missing:
            return
        template = copy.deepcopy(self.template)
        for found, statements, place in list(statements_of(template)):
            if found == name:
                del statements[place]
                if not statements:  # a policy has at least one
                    statements.append({"Effect": "Allow", "Action": "ses:GetSendQuota", "Resource": "*"})
        self._redeploy(template)
        self._missing = name

    def distrust(self, logical_id: str) -> None:
        """Deploy it with a role whose trust policy is about another account's resources."""
        template = copy.deepcopy(self.template)
        trust = template["Resources"][logical_id]["Properties"]["AssumeRolePolicyDocument"]
        trust["Statement"][0]["Condition"]["StringEquals"]["aws:SourceAccount"] = "111111111111"
        self._redeploy(template)
        self._missing = f"trust of {logical_id}"

    def _redeploy(self, template: dict[str, Any]) -> None:
        (self.project / "infra" / "stack.yaml").write_text(json.dumps(template))
        _deployed(self.aws, self.project, self.name)

    def deploy_another(self, name: str) -> None:
        """Deploy a second stack from what ``change`` left, and delete it. Raises StackFailedError."""
        try:
            _deployed(self.aws, self.project, name)
        finally:
            self.aws.client("cloudformation").delete_stack(StackName=name)

    @cached_property
    def template(self) -> dict[str, Any]:
        source = PROJECT / "infra" / "stack.yaml"
        return parse_template(source.read_text(), str(source))

    # --- as Airflow does it -------------------------------------------------------------------------------------------
    @cached_property
    def _session(self) -> boto3.Session:
        user = boto3.Session(**self.airflow_keys, region_name=REGION)
        role = f"arn:aws:iam::{ACCOUNT}:role/{self.name}-{REGION}-airflow"
        answer = user.client("sts", endpoint_url=self.aws.endpoint_url).assume_role(
            RoleArn=role, RoleSessionName="airflow"
        )
        given = answer["Credentials"]
        return boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=REGION)

    def client(self, service: str) -> Any:
        """A client with the credentials of the assumed Airflow role."""
        config = Config(retries={"total_max_attempts": 1})
        return self._session.client(service, endpoint_url=self.aws.endpoint_url, config=config)  # type: ignore[call-overload]

    def build(self) -> None:
        """Build and push an image of a new tag, as BuildImageOperator does; its log must be readable."""
        tag = f"tiny-{next(self._numbers)}"
        s3, codebuild, ecr = S3(self.client("s3")), CodeBuild(self.client("codebuild")), Ecr(self.client("ecr"))
        if ecr.image_digest(self.deployment.repository_name, tag) or codebuild.running(
            self.deployment.codebuild_project
        ):
            raise StepFailedError(f"{tag} is there or is being built already")
        source = S3Uri(self.deployment.bucket, f"stepbridge/builds/tiny/{tag}.zip")
        if not s3.exists(source):
            s3.upload(self._context(tag), source)
        environment = {"IMAGE_REPOSITORY_URI": self.deployment.repository_uri, "IMAGE_TAG": tag}
        build = codebuild.start(self.deployment.codebuild_project, f"{source.bucket}/{source.key}", environment, tag)
        build = _until(lambda: codebuild.describe(build.id), lambda one: one.ended)
        lines = CloudWatchLogs(self.client("logs")).tail(build.log_group, build.log_stream).new_lines()
        if not build.succeeded:
            phase = build.failed_phase
            said = [line for line in lines if "not authorized" in line]
            raise StepFailedError(
                f"build {build.status}: {phase and phase.message.partition('set -eu')[0]} {said or lines[-8:]}"
            )
        if not any("digest" in line for line in lines):
            raise StepFailedError(f"the build's log cannot be read: {lines}")
        self.image = f"{self.deployment.repository_uri}@{ecr.image_digest(self.deployment.repository_name, tag)}"

    def upload(self) -> None:
        """Upload the scripts under a new prefix, as UploadScriptsOperator does."""
        s3 = S3(self.client("s3"))
        prefix = S3Uri(self.deployment.bucket, f"stepbridge/code/tiny/{next(self._numbers)}/")
        if s3.exists(prefix.child("manifest.json")):
            raise StepFailedError(f"{prefix} is there already")
        for stage in ("preprocessing", "postprocessing"):
            s3.write(prefix.child(f"{stage}.py"), SCRIPT.format(stage=stage).encode(), "text/x-python")
        s3.write(prefix.child("manifest.json"), b"{}", "application/json")
        self.code_uri = str(prefix)

    def execute(
        self,
        stages: tuple[str, ...] = STAGES,
        input_uri: str = "",
        output_uri: str = "",
        image: str = "",
    ) -> None:
        """Start an execution, wait for its end and report it, as the operator and the sensor do. It must succeed."""
        name = f"run-{next(self._numbers)}"
        output_uri = output_uri or f"s3://{self.deployment.bucket}/output/{name}"
        given = ExecutionInput(
            input_uri=input_uri or f"s3://{self.deployment.bucket}/input/",
            output_uri=output_uri,
            code_uri=self.code_uri,
            custom_image_uri=image or self.image,
            scikit_image_uri=SCIKIT_IMAGE,
            role=self.deployment.processing_role_arn,
            instance_type="ml.m5.large",
            volume_size=1,
            max_runtime=60,
            stages=stages,
            model="tiny",
        )
        step_functions = StepFunctions(self.client("stepfunctions"))
        arn = step_functions.start(self.deployment.state_machine_arn, name, given.to_json())
        list(step_functions.running(self.deployment.state_machine_arn))
        _until(lambda: step_functions.describe(arn), lambda one: one.status != "RUNNING")
        self._report(arn, output_uri)

    def _report(self, arn: str, output_uri: str) -> None:
        step_functions, sagemaker = StepFunctions(self.client("stepfunctions")), SageMaker(self.client("sagemaker"))
        execution, history = step_functions.describe(arn), step_functions.history(arn)
        if execution.status != "SUCCEEDED":
            cause = str(execution.description.get("cause"))
            if cause.startswith("{"):
                cause = str(json.loads(cause).get("FailureReason"))
            raise StepFailedError(f"{execution.status}: {execution.description.get('error')}: {cause}")
        jobs = {name: sagemaker.describe_job(name) for name in job_names(history)}
        report = build_run_report(execution.description, history, jobs)
        self._require_logs(report)
        if output_uri.startswith(f"s3://{self.deployment.bucket}/"):
            target = S3Uri(self.deployment.bucket, f"output/_stepbridge/{execution.name}/report.json")
            S3(self.client("s3")).write(target, report.model_dump_json().encode(), "application/json")
            key = f"{output_uri.removeprefix(f's3://{self.deployment.bucket}/')}/a.txt"
            self.client("s3").get_object(Bucket=self.deployment.bucket, Key=key)["Body"].read()

    def _require_logs(self, report: RunReport) -> None:
        logs = CloudWatchLogs(self.client("logs"))
        for stage in report.stages:
            assert stage.job_name is not None
            _until(
                lambda job_name=stage.job_name: logs.job_lines(job_name, 10),  # type: ignore[misc]
                lambda lines: lines == ["reads a.txt"],
                within=3,
            )

    def read_an_event(self) -> None:
        """Receive the event of an execution's end from the stack's queue, hand it back, and delete it."""
        queue_url = self.deployment.events_queue_url
        assert queue_url is not None
        sqs, sent = Sqs(self.client("sqs")), f"ended-{next(self._numbers)}"
        self.aws.client("sqs").send_message(QueueUrl=queue_url, MessageBody=sent)
        messages = _until(lambda: sqs.receive(queue_url, 1, 5), lambda found: any(one.body == sent for one in found))
        if problems := sqs.hand_back(queue_url, [(message, 5) for message in messages]):
            raise StepFailedError(f"not handed back: {problems}")
        if problems := sqs.delete(queue_url, messages):
            raise StepFailedError(f"not deleted: {problems}")

    def notify(self) -> None:
        """Publish to a topic whose name begins with the stack's."""
        topic = self.aws.client("sns").create_topic(Name=f"{self.name}-failures")["TopicArn"]
        self.client("sns").publish(TopicArn=topic, Message="failed")

    def may(self, role: str, action: str, resource: str) -> str:
        """What IAM says of the stack's role of that name: allowed, implicitDeny or explicitDeny."""
        role_arn = f"arn:aws:iam::{ACCOUNT}:role/{self.name}-{REGION}-{role}"
        return policy_decision(self.aws.client("iam"), role_arn, action, resource, {})

    def copy_image(self) -> str:
        """Put the image into the further repository too; its URI there."""
        ecr = self.aws.client("ecr")
        digest = self.image.partition("@")[2]
        found = ecr.batch_get_image(repositoryName=self.deployment.repository_name, imageIds=[{"imageDigest": digest}])[
            "images"
        ][0]
        if not ecr.list_images(repositoryName=FURTHER_IMAGES)["imageIds"]:
            ecr.put_image(
                repositoryName=FURTHER_IMAGES,
                imageManifest=found["imageManifest"],
                imageManifestMediaType=found["imageManifestMediaType"],
                imageTag="one",
            )
        return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{FURTHER_IMAGES}@{digest}"

    def _context(self, tag: str) -> Path:
        archive = self.project / f"{tag}.zip"
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("Dockerfile", DOCKERFILE)
            opened.writestr("predict.py", SCRIPT.format(stage="inference"))
        return archive


def _deployed(aws: LocalAwsProcess, project: Path, name: str, parameters: dict[str, str] | None = None) -> Deployment:
    return StackDeployer(
        boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION),
        project_root=project,
        say=lambda _: None,
        endpoint_url=aws.endpoint_url,
        stack_name=name,
        scikit_image=lambda _: SCIKIT_IMAGE,
        parameters=parameters or {},
    ).deploy()


def _until(read: Callable[[], Any], accepted: Callable[[Any], bool], within: float = WITHIN_SECONDS) -> Any:
    """What ``read`` returns once it is ``accepted``. Raises StepFailedError with what was read last."""
    deadline = time.monotonic() + within
    while not accepted(found := read()):
        if time.monotonic() > deadline:
            raise StepFailedError(f"not within {within} s; last read: {found}")
        time.sleep(0.05)
    return found
