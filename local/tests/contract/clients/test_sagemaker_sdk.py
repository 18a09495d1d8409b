"""The SageMaker Python SDK v3, in programs as its users write them: only the environment says where AWS is.

Three programs run at the same time: the SDK looks every ten seconds whether a job has ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Site

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("sagemaker sdk")]

PROGRAMS = Path(__file__).with_name("sdk_programs")
MAIN = """\
import pathlib, sys
import inhouse, neighbour
pathlib.Path("/opt/ml/processing/output/said.txt").write_text(" ".join([inhouse.WORD, neighbour.WORD, *sys.argv[1:]]))
print("said it")
"""
# The SDK reports each call to AWS unless told not to; nothing of a test shall leave the machine.
SDK_CONFIGURATION = "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n"

Ended = Callable[[str], str]


def _write_wheel(folder: Path) -> str:
    """A package of one line, and the name of its file: requirements that need no index."""
    name = "inhouse-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("inhouse.py", "WORD = 'installed'\n")
        wheel.writestr("inhouse-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: inhouse\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr("inhouse-1.0.dist-info/WHEEL", tags)
        wheel.writestr("inhouse-1.0.dist-info/RECORD", "inhouse.py,,\n")
    return name


@pytest.fixture(scope="module")
def ended(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """``ended(program)``: what the program printed, which must have ended well. All are started at once."""
    role_name = "sdk-jobs"
    trusted = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    site.client("iam").create_role(RoleName=role_name, AssumeRolePolicyDocument=trust)
    site.put("sdk/script/in/day.txt", "hello")
    folder = tmp_path_factory.mktemp("sdk")
    source = folder / "source"
    source.mkdir()
    (source / "main.py").write_text(MAIN)
    (source / "neighbour.py").write_text("WORD = 'beside'\n")
    (source / "requirements.txt").write_text(f"./{_write_wheel(source)}\n")
    (folder / "config.yaml").write_text(SDK_CONFIGURATION)
    environment = site.environment | {
        "HOME": str(folder),
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(folder / "config.yaml"),
    }

    def start(program: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROGRAMS / f"{program}.py"), site.bucket, site.image_uri, role_name]
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    running = {program: start(program) for program in ("script", "framework", "stop")}

    def wait(program: str) -> str:
        output, _ = running[program].communicate(timeout=150)
        assert running[program].returncode == 0, output
        return output

    yield wait
    for process in running.values():
        process.kill()
        process.wait()


def _jobs(output: str) -> list[tuple[str, str]]:
    """Name and status of each job that the program told of."""
    lines = [line.split() for line in output.splitlines() if line.startswith("JOB ")]
    return [(name, status) for _, name, status in lines]


def test_a_script_processor_runs_a_script_and_prints_its_log(ended: Ended, site: Site) -> None:
    """Its code, input, output, arguments, environment and tags arrive; ``logs=True`` shows what the script printed."""
    output = ended("script")
    ((name, status),) = _jobs(output)
    assert status == "Completed"
    assert site.text("sdk/script/out/day.txt") == "HELLO!"
    assert "shouting ['--twice', 'a b'] loud" in output
    job = site.client("sagemaker").describe_processing_job(ProcessingJobName=name)
    assert job["RoleArn"].endswith(":role/sdk-jobs")  # given by name: the SDK has asked IAM
    assert site.client("sagemaker").list_tags(ResourceArn=job["ProcessingJobArn"])["Tags"] == [
        {"Key": "from", "Value": "sdk"}
    ]


def test_a_framework_processor_packs_a_folder_and_installs_its_requirements(ended: Ended, site: Site) -> None:
    """The bundle is unpacked by the SDK's own shell script, and pip installs into the image's environment."""
    ((name, status),) = _jobs(ended("framework"))
    assert status == "Completed"
    assert site.text("sdk/framework/out/said.txt") == "installed beside one"
    found = site.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=f"{name}/"
    )["events"]
    lines = [event["message"] for event in found]
    assert "Files after extraction:" in lines
    assert "Successfully installed inhouse-1.0" in lines


def test_a_processor_is_waited_for_and_another_stopped(ended: Ended) -> None:
    """``wait=True`` returns after the end, ``stop`` ends a job, ``get_all`` finds both."""
    output = ended("stop")
    (brief, endless) = _jobs(output)
    assert (brief[1], endless[1]) == ("Completed", "Stopped")
    (names,) = [line.split()[1:] for line in output.splitlines() if line.startswith("ALL ")]
    assert names == sorted([brief[0], endless[0]])
