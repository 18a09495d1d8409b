"""The AWS CLI as PyPI has it, in an environment of its own: it pins another botocore than this project has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uv

from .conftest import Site, until

pytestmark = pytest.mark.xdist_group("aws cli")

PROJECT = Path(__file__).parents[4]
# Version 2 is not on PyPI. Its ``logs tail`` is, as a plug-in for version 1 made of the same source.
REQUIREMENTS = ("awscli==1.46.3", "awscli-plugin-logs-tail==0.2")
UNREACHABLE = ("error sending request", "dns error", "Connection refused", "tcp connect error", "timed out")
SCIKIT_IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
YESTERDAY = time.time() - 86_400
SYNC = "arn:aws:states:::sagemaker:createProcessingJob.sync"


@pytest.fixture(scope="session")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``aws`` command; skipped, with uv's words, only where the package index cannot be reached."""
    folder = tmp_path_factory.mktemp("aws-cli") / "venv"
    program = uv.find_uv_bin()
    subprocess.run([program, "venv", "--quiet", str(folder)], check=True)
    command = [program, "pip", "install", "--quiet", "--python", str(folder), *REQUIREMENTS]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode != 0 and any(sign in installed.stderr for sign in UNREACHABLE):
        pytest.skip(f"the AWS CLI could not be installed: {installed.stderr}")
    assert installed.returncode == 0, installed.stderr
    return folder / "bin" / "aws"


@dataclass
class Cli:
    """Runs ``aws`` as a user does who has exported an endpoint, a region and keys."""

    executable: Path
    environment: dict[str, str]
    folder: Path

    def run(self, *arguments: str, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        """The ended command, which must end with ``code``."""
        command = [str(self.executable), *arguments]
        ended = subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            **options,
        )
        assert ended.returncode == code, f"{command}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def json(self, *arguments: str) -> Any:
        """What the command answers."""
        return json.loads(self.run(*arguments, "--output", "json").stdout)

    def file(self, name: str, value: Any) -> str:
        """``file://`` address of a JSON file, for --cli-input-json and the like."""
        path = self.folder / name
        path.write_text(json.dumps(value))
        return f"file://{path}"


@pytest.fixture
def cli(site: Site, executable: Path, tmp_path: Path) -> Cli:
    config = tmp_path / "config"
    config.write_text("[plugins]\ntail = awscli_plugin_logs_tail\n")
    home = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(config), "AWS_PAGER": "", "LC_ALL": "C.UTF-8"}
    return Cli(executable, site.environment | home, tmp_path)


@pytest.mark.long
def test_s3_copies_a_big_file_there_and_back(cli: Cli, site: Site) -> None:
    """``aws s3 cp`` uploads in parts and downloads in ranges; ``ls`` shows the size; ``-`` is standard output."""
    content = b"0123456789abcde\n" * 600_000  # 9.6 MB: above the CLI's threshold of 8 MB
    (cli.folder / "big.txt").write_bytes(content)
    cli.run("s3", "cp", "big.txt", site.uri("cli", "big.txt"))
    assert site.client("s3").head_object(Bucket=site.bucket, Key="cli/big.txt")["ETag"].endswith('-2"')
    assert cli.run("s3", "cp", site.uri("cli", "big.txt"), "-").stdout == content.decode()
    assert cli.run("s3", "ls", site.uri("cli", "")).stdout.split()[2:] == ["9600000", "big.txt"]


def test_s3_syncs_a_folder_and_then_nothing(cli: Cli, site: Site) -> None:
    """``aws s3 sync`` takes names of all kinds, sends nothing the second time, deletes with --delete, and comes back.

    The files are of yesterday. S3 gives LastModified in whole seconds, so that a file of this very second is newer than
    its own upload, and is sent again: so it is on AWS, too.
    """
    names = ["a.txt", "below/b c.txt", "below/ü+%20.txt"]
    for name in names:
        path = cli.folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (YESTERDAY, YESTERDAY))
    target = site.uri("cli", "tree")
    assert cli.run("s3", "sync", "tree", target, "--no-progress").stdout.count("upload: ") == 3
    assert cli.run("s3", "sync", "tree", target).stdout == ""
    (cli.folder / "tree" / "a.txt").unlink()
    assert "delete: " in cli.run("s3", "sync", "tree", target, "--delete").stdout
    cli.run("s3", "sync", target, "back")
    assert {path.relative_to(cli.folder / "back").as_posix() for path in (cli.folder / "back").rglob("*.txt")} == {
        *names[1:]
    }


@pytest.mark.long
def test_a_processing_job_is_created_awaited_and_described(cli: Cli, site: Site) -> None:
    """``create-processing-job --cli-input-json``, ``wait``, ``describe``; ``logs tail`` shows what it printed."""
    name = site.with_input("cli-job")
    request = cli.file("job.json", site.job(name, "cli"))
    created = cli.json("sagemaker", "create-processing-job", "--cli-input-json", request)
    assert created["ProcessingJobArn"].endswith(f":processing-job/{name}")
    cli.run("sagemaker", "wait", "processing-job-completed-or-stopped", "--processing-job-name", name)
    job = cli.json("sagemaker", "describe-processing-job", "--processing-job-name", name)
    assert job["ProcessingJobStatus"] == "Completed"
    assert site.text(f"out/{name}/day.txt") == "HELLO cli"
    tail = cli.run("logs", "tail", "/aws/sagemaker/ProcessingJobs", "--since", "10m").stdout
    (line,) = [line for line in tail.splitlines() if f" {name}/algo-1-" in line]
    assert line.endswith(" day.txt -> HELLO cli")
    again = cli.run("sagemaker", "create-processing-job", "--cli-input-json", request, code=255)
    assert "(ResourceInUse) when calling the CreateProcessingJob operation: Job name must be unique" in again.stderr


@pytest.mark.long
def test_waiting_for_a_job_that_fails_ends_with_255(cli: Cli, site: Site) -> None:
    """``wait`` says that the waiter met a terminal failure."""
    name = site.run_job("cli-failure", "fail")["ProcessingJobName"]
    arguments = ("sagemaker", "wait", "processing-job-completed-or-stopped", "--processing-job-name", name)
    assert "terminal failure state" in cli.run(*arguments, code=255).stderr


def test_an_execution_is_started_described_and_its_history_read(cli: Cli, site: Site) -> None:
    """``start-execution``, ``describe-execution`` and ``get-execution-history`` on a job in JSONPath."""
    name = site.with_input("cli-execution")
    job = site.job(name) | {"ProcessingJobName.$": "$.name"}
    del job["ProcessingJobName"]
    states = {"Run": {"Type": "Task", "Resource": SYNC, "Parameters": job, "End": True}}
    definition = cli.file("machine.json", {"StartAt": "Run", "States": states})
    role = ("--role-arn", site.role_arn)
    machine = cli.json("stepfunctions", "create-state-machine", "--name", name, "--definition", definition, *role)
    start = ("--state-machine-arn", machine["stateMachineArn"], "--name", "one", "--input", json.dumps({"name": name}))
    arn = cli.json("stepfunctions", "start-execution", *start)["executionArn"]
    sfn = site.client("stepfunctions")
    until(lambda: sfn.describe_execution(executionArn=arn), lambda execution: execution["status"] != "RUNNING")
    history = cli.run(
        *("stepfunctions", "get-execution-history", "--execution-arn", arn, "--page-size", "3"),
        *("--query", "events[].type", "--output", "text"),
    ).stdout.split()
    execution = cli.json("stepfunctions", "describe-execution", "--execution-arn", arn)
    assert execution["status"] == "SUCCEEDED"
    assert json.loads(execution["output"])["ProcessingJobStatus"] == "Completed"
    assert history == [
        *("ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"),
        *("TaskStateExited", "ExecutionSucceeded"),
    ]
    again = cli.run("stepfunctions", "start-execution", *start, code=255).stderr
    assert f"(ExecutionAlreadyExists) when calling the StartExecution operation: Execution Already Exists: '{arn}'" in (
        again
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The stack's template and the definition that it names."""
    for folder in ("infra", "asl"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    return tmp_path


@pytest.mark.long
def test_the_stack_is_packaged_and_deployed(cli: Cli, site: Site, project: Path) -> None:
    """``cloudformation package`` and ``deploy`` of infra/stack.yaml; again changes nothing, a new value does."""
    source = (project / "infra" / "stack.yaml", site.bucket, project / "packaged.yaml")
    options = ("--template-file", "--s3-bucket", "--output-template-file")
    pairs = [part for pair in zip(options, map(str, source), strict=True) for part in pair]
    cli.run("cloudformation", "package", *pairs)
    stack = site.unique("clis")

    def deploy(*more: str) -> str:
        return cli.run(
            *("cloudformation", "deploy", "--template-file", "packaged.yaml", "--stack-name", stack),
            *("--capabilities", "CAPABILITY_NAMED_IAM", "--no-fail-on-empty-changeset", *more),
        ).stdout

    first = deploy("--parameter-overrides", f"ScikitImageUri={SCIKIT_IMAGE}")
    assert f"Successfully created/updated stack - {stack}" in first
    assert f"No changes to deploy. Stack {stack} is up to date" in deploy()
    assert "Successfully created/updated" in deploy("--parameter-overrides", "LogRetentionDays=30")
    stacks = site.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in stacks[0]["Parameters"]}
    assert stacks[0]["StackStatus"] == "UPDATE_COMPLETE"
    assert (outputs["ScikitImageUri"], parameters["LogRetentionDays"]) == (SCIKIT_IMAGE, "30")
    machine = site.client("stepfunctions").describe_state_machine(stateMachineArn=outputs["StateMachineArn"])
    source_of_truth = (project / "asl" / "batch_inference.asl.json").read_text()
    assert json.loads(machine["definition"]) == json.loads(source_of_truth.replace("${Partition}", "aws"))
    assert stack in cli.run("cloudformation", "list-stacks", "--query", "StackSummaries[].StackName").stdout
