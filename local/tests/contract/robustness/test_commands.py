"""``stepbridge local status``, ``logs`` and ``reset``, as commands; start and stop in seconds."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.contract.robustness.conftest import MeasuredAws

LOOSE_SECONDS = 15.0  # the figures themselves are printed; a shared machine is no place to assert them
SYNC = "arn:aws:states:::sagemaker:createProcessingJob.sync"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stepbridge_local.cli.main", *arguments]


def run(*arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), input=answer, capture_output=True, text=True, timeout=240, check=False)


def folder(aws: MeasuredAws) -> tuple[str, str]:
    return "--data-dir", str(aws.process.data_dir)


def test_status_tells_what_runs_and_what_is_held(aws: MeasuredAws, tmp_path: Path) -> None:
    """Address, process, runtime, jobs that run and wait, executions, disk; from the folder or the address."""
    states = {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}
    aws.client("stepfunctions").start_execution(stateMachineArn=aws.machine("waits", states))
    for number in range(5):
        request = aws.job(f"job-{number}", "import time; time.sleep(600)")
        aws.client("sagemaker").create_processing_job(**request)

    def status() -> dict[str, Any]:
        told: dict[str, Any] = json.loads(run("status", "--json", *folder(aws)).stdout)
        return told

    told = aws.until(status, lambda seen: seen["running_jobs"] == 2, within=60)
    assert (told["queued_jobs"], told["jobs_by_status"]) == (3, {"InProgress": 5})
    assert told["executions_by_status"] == {"RUNNING": 1}
    assert (told["running"]["url"], told["running"]["pid"]) == (aws.process.endpoint_url, aws.process.pid)
    assert told["running"]["uptime_seconds"] > 0
    assert told["health"]["runtime"] == "process"
    assert told["bytes_by_folder"]["images"] > 0
    text = run("status", "--endpoint-url", aws.process.endpoint_url)
    assert text.returncode == 0, text.stderr
    for part in (aws.process.endpoint_url, f"process {aws.process.pid}", "2 running, 3 queued", "1 running (1 RUN"):
        assert part in text.stdout
    aws.process.stop(signal.SIGKILL)
    text = run("status", *folder(aws))
    assert (text.returncode, text.stdout.splitlines()[0]) == (3, "local AWS   not running")
    text = run("status", "--data-dir", str(tmp_path / "none"))
    assert (text.returncode, text.stderr.strip()) == (
        1,
        f"{tmp_path / 'none'}: no data folder; name it with --data-dir, or --endpoint-url",
    )


def test_logs_follow_a_job_to_its_end(aws: MeasuredAws) -> None:
    """Each line once and in order, while the job runs; it ends with the job."""
    with socket.create_server(("127.0.0.1", 0)) as gate:  # the job goes on once it gets a connection
        code = (
            "import socket; print('line 0', flush=True); "
            f"socket.create_connection({gate.getsockname()}).recv(1); "
            "[print('line', number, flush=True) for number in range(1, 60)]"
        )
        aws.client("sagemaker").create_processing_job(**aws.job("talks", code))
        asked = command("logs", "talks", "--follow", *folder(aws))
        following = subprocess.Popen(asked, stdout=subprocess.PIPE, text=True)
        assert following.stdout is not None
        first = following.stdout.readline()
        assert (first, aws.job_status("talks")) == ("line 0\n", "InProgress")
        gate.accept()[0].close()
        rest = following.stdout.read()  # to its end; communicate would forget what is buffered already
    assert following.wait(timeout=240) == 0
    assert [first.strip(), *rest.splitlines()] == [f"line {number}" for number in range(60)]
    assert aws.job_status("talks") == "Completed"
    assert run("logs", "talks", *folder(aws)).stdout == first + rest


def test_logs_of_several_hosts_name_them(aws: MeasuredAws) -> None:
    """algo-1 and algo-2; a job that is not there is told with those that are."""
    request = aws.job("two-hosts", "import os; print('hello from', os.uname().nodename)")
    request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 2
    aws.client("sagemaker").create_processing_job(**request)
    aws.until(lambda: aws.job_status("two-hosts"), lambda status: status == "Completed", within=60)
    lines = run("logs", "two-hosts", *folder(aws)).stdout.splitlines()
    assert sorted(lines) == ["algo-1: hello from algo-1", "algo-2: hello from algo-2"]
    refused = run("logs", "two-host", *folder(aws))
    assert refused.returncode == 1
    assert "jobs there are: two-hosts" in refused.stderr


def test_reset_empties_the_folder_of_a_local_aws_that_is_stopped(aws: MeasuredAws, tmp_path: Path) -> None:
    """Refused while it runs and for other folders; asks; afterwards there is nothing, and it starts anew."""
    aws.client("s3").create_bucket(Bucket="gone")
    refused = run("reset", "--yes", *folder(aws))
    assert (refused.returncode, "another local AWS runs on this folder" in refused.stderr) == (1, True)
    aws.process.stop()
    assert run("reset", *folder(aws), answer="n\n").returncode == 1
    assert (aws.process.data_dir / "s3").is_dir()
    done = run("reset", *folder(aws), answer="y\n")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in aws.process.data_dir.iterdir()] == ["lock"]
    (tmp_path / "precious").mkdir()
    refused = run("reset", "--yes", "--data-dir", str(tmp_path / "precious"))
    assert (refused.returncode, (tmp_path / "precious").is_dir()) == (1, True)
    aws.process.start()
    assert aws.client("s3").list_buckets()["Buckets"] == []


def test_the_command_starts_and_stops_in_seconds(aws: MeasuredAws) -> None:
    """With an execution and a job running it ends by itself; processor seconds to start and to end are printed."""
    aws.process.stop()
    (aws.process.data_dir / "endpoint.json").unlink(missing_ok=True)
    with subprocess.Popen(aws.process.command("--port", "0")) as process:
        aws.process.endpoint_url = aws.until(lambda: announced_url(aws), bool, within=60)
        aws.client("s3").list_buckets()
        started = processor_seconds(process.pid)
        states = {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}
        aws.client("stepfunctions").start_execution(stateMachineArn=aws.machine("waits", states))
        aws.client("sagemaker").create_processing_job(**aws.job("sleeps", "import time; time.sleep(600)"))
        before = processor_seconds(process.pid)
        begun = time.monotonic()
        process.terminate()
        after = before
        while process.poll() is None:
            after = max(after, processor_seconds(process.pid))
            time.sleep(0.01)
            assert time.monotonic() < begun + 30
    assert process.returncode == 0
    print(
        f"start {started:.2f} s, stop {after - before:.2f} s of the processor, {time.monotonic() - begun:.2f} s in all"
    )
    assert started < LOOSE_SECONDS
    assert after - before < LOOSE_SECONDS


def announced_url(aws: MeasuredAws) -> str:
    file = aws.process.data_dir / "endpoint.json"
    return str(json.loads(file.read_text())["url"]) if file.exists() else ""


def processor_seconds(pid: int) -> float:
    """The processor time that the process has used; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / 100
