"""Processing jobs from CreateProcessingJob to their end, with real processes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepbridge_local.protocols import Container, ContainerExit
from stepbridge_local.services.sagemaker.job import ProcessingJob

from .processing_support import SCOPE, Aws, s3_input, s3_output

Job = Callable[..., dict[str, Any]]

COPY = """
import pathlib, shutil
print("copying")
shutil.copytree("/opt/ml/processing/input", "/opt/ml/processing/output", dirs_exist_ok=True)
print("done")
"""


def threads_of_jobs_end() -> None:
    """Wait for them: what one ends with is reported to the test that runs then."""
    for thread in threading.enumerate():
        if thread.name.startswith("job-") or thread.name.endswith("-end"):
            thread.join(60)


def test_a_job_turns_its_input_into_its_output(aws: Aws, job: Job) -> None:
    """Inputs are there, outputs are uploaded, the log has each line, times are in order, nothing is left over."""
    aws.store.objects["data"] |= {"in/deep/b.csv": b"3\n", "in/folder/": b"", "inner.csv": b"no"}
    described = aws.finished(job(COPY, ProcessingInputs=[s3_input("data", "s3://data/in/")]))
    assert described["ProcessingJobStatus"] == "Completed", described
    assert aws.output() == {"a.csv": b"1\n2\n", "deep/b.csv": b"3\n"}
    assert aws.log("job-1/algo-1-") == ["copying", "done"]
    times = [described[f"{name}Time"] for name in ("Creation", "ProcessingStart", "ProcessingEnd", "LastModified")]
    assert times == sorted(times)
    assert described["ProcessingJobArn"] == "arn:aws:sagemaker:us-east-1:123456789012:processing-job/job-1"
    assert "FailureReason" not in described
    assert list((aws.jobs_folder / "work").rglob("ml")) == []


def test_the_container_sees_what_sagemaker_gives_it(aws: Aws, job: Job) -> None:
    """Both configuration files, the job's environment and region, and nothing of the host's."""
    show = """
import json, os
read = lambda name: json.load(open(f"/opt/ml/config/{name}.json"))
seen = [read("processingjobconfig"), read("resourceconfig"), dict(os.environ)]
json.dump(seen, open("/opt/ml/processing/output/seen", "w"))
"""
    aws.finished(job(show, Environment={"MODEL": "flights"}, Tags=[{"Key": "team", "Value": "Datén 数据"}]))
    config, resources, environment = json.loads(aws.output()["seen"])
    assert config["ProcessingJobArn"].endswith("processing-job/job-1")
    assert config["ProcessingInputs"][0] == s3_input(
        "data",
        "s3://data/in",
        S3InputMode="File",
        S3DataDistributionType="FullyReplicated",
        S3CompressionType="None",
    ) | {"AppManaged": False}
    assert config["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert "Tags" not in config
    assert resources == {"current_host": "algo-1", "hosts": ["algo-1"]}
    assert environment == environment | {"MODEL": "flights", "AWS_REGION": "us-east-1"}
    assert not [name for name in environment if name.startswith("AWS_") and name != "AWS_REGION"]


def test_the_images_own_command_runs_when_no_entrypoint_is_given(aws: Aws, job: Job) -> None:
    """Without ContainerEntrypoint and ContainerArguments the spec leaves both to the image."""
    request = job("")
    del request["AppSpecification"]["ContainerEntrypoint"]
    assert aws.finished(request)["ProcessingJobStatus"] == "Completed"
    assert (aws.runtime.started[0].entrypoint, aws.runtime.started[0].arguments) == (None, None)
    assert aws.log("job-1/")[0].startswith("Python 3.")


def test_a_script_that_exits_with_3(aws: Aws, job: Job) -> None:
    """Failed with SageMaker's own text, the exit message, the traceback in the log; nothing is uploaded."""
    script = """
open("/opt/ml/processing/output/half", "w").write("x")
open("/opt/ml/output/message", "w").write("no flights on 2013-02-30")
print("giving up")
raise SystemExit(3)
"""
    described = aws.finished(job(script))
    assert described["ProcessingJobStatus"] == "Failed"
    assert described["FailureReason"] == "AlgorithmError: , exit code: 3"
    assert described["ExitMessage"] == "no flights on 2013-02-30"
    assert aws.output() == {}
    assert aws.log("job-1/") == ["giving up"]


def test_a_script_that_writes_no_output_completes(aws: Aws, job: Job) -> None:
    """AWS has nothing against an empty output folder."""
    assert aws.finished(job("pass"))["ProcessingJobStatus"] == "Completed"
    assert aws.output() == {}


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (
            "s3://data/nowhere/",
            'No S3 objects found under S3 URL "s3://data/nowhere/" given in input data source "data"',
        ),
        ("s3://missing/in/", 's3://missing/in/ of input "data": NoSuchBucket'),
    ],
)
def test_an_input_that_does_not_exist(aws: Aws, job: Job, uri: str, text: str) -> None:
    """Failed before any container runs, naming the URI and the input."""
    described = aws.finished(job("pass", ProcessingInputs=[s3_input("data", uri)]))
    assert described["ProcessingJobStatus"] == "Failed"
    assert described["FailureReason"].startswith("ClientError: Data download failed: ")
    assert text in described["FailureReason"]
    assert "ProcessingStartTime" not in described
    assert aws.runtime.started == []


def test_an_s3_uri_that_is_one_object_gives_that_file(aws: Aws, job: Job) -> None:
    """As with a script that is an input of its own, next to a folder of data."""
    aws.store.objects["data"] |= {"code/one.txt": b"1"}
    inputs = [
        s3_input("data", "s3://data/in"),
        s3_input("one", "s3://data/code/one.txt", "/opt/ml/processing/input/one"),
    ]
    aws.finished(job(COPY, ProcessingInputs=inputs))
    assert aws.output() == {"a.csv": b"1\n2\n", "one/one.txt": b"1"}


def test_a_manifest_names_the_objects(aws: Aws, job: Job) -> None:
    """Only what is listed is downloaded, under the suffix it is listed with."""
    manifest = [{"prefix": "s3://data/days/"}, "2013/01.csv", "02.csv"]
    aws.store.objects["data"] |= {
        "m.json": json.dumps(manifest).encode(),
        "days/2013/01.csv": b"1",
        "days/02.csv": b"2",
        "days/03.csv": b"3",
    }
    given = s3_input("data", "s3://data/m.json", S3DataType="ManifestFile")
    aws.finished(job(COPY, ProcessingInputs=[given]))
    assert aws.output() == {"2013/01.csv": b"1", "02.csv": b"2"}


def test_a_key_cannot_leave_the_input_folder(aws: Aws, job: Job) -> None:
    """A manifest could name ../../config/resourceconfig.json."""
    manifest = json.dumps([{"prefix": "s3://data/x/"}, "../../config/resourceconfig.json"]).encode()
    aws.store.objects["data"] |= {"m.json": manifest, "x/../../config/resourceconfig.json": b"{}"}
    given = s3_input("data", "s3://data/m.json", S3DataType="ManifestFile")
    described = aws.finished(job("pass", ProcessingInputs=[given]))
    assert "cannot be a file name" in described["FailureReason"]


def test_an_output_bucket_that_does_not_exist(aws: Aws, job: Job) -> None:
    """The work is done and cannot be stored: Failed, with the object that was refused."""
    output = {"Outputs": [s3_output("result", "s3://missing/out")]}
    script = "open('/opt/ml/processing/output/x', 'w'); open('/opt/ml/output/message', 'w').write('all good')"
    described = aws.finished(job(script, ProcessingOutputConfig=output))
    assert described["FailureReason"].startswith(
        'ClientError: Data upload failed: s3://missing/out/x of output "result": NoSuchBucket'
    )
    assert described["ExitMessage"] == "all good"


def test_symbolic_links_are_not_followed(aws: Aws, job: Job, tmp_path: Path) -> None:
    """Neither a linked file, nor a linked folder, nor an output folder or a message that is a link."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("hidden")
    script = f"""
import os
os.symlink({str(secret / "key")!r}, "/opt/ml/processing/output/file")
os.symlink({str(secret)!r}, "/opt/ml/processing/output/folder")
os.mkfifo("/opt/ml/processing/output/pipe")
os.rmdir("/opt/ml/processing/second")
os.symlink({str(secret)!r}, "/opt/ml/processing/second")
os.symlink({str(secret / "key")!r}, "/opt/ml/output/message")
open("/opt/ml/processing/output/real", "w").write("1")
"""
    outputs = [s3_output("a", "s3://data/out/"), s3_output("b", "s3://data/out/b", "/opt/ml/processing/second/")]
    described = aws.finished(job(script, ProcessingOutputConfig={"Outputs": outputs}))
    assert described["ProcessingJobStatus"] == "Completed", described
    assert aws.output() == {"real": b"1"}
    assert "ExitMessage" not in described


def test_the_maximum_runtime_stops_the_container(aws: Aws, job: Job) -> None:
    """Stopped with a reason that says so; SIGTERM comes first and is heard; nothing keeps running."""
    script = """
import signal, sys, time
def end(*_):
    open("/opt/ml/output/message", "w").write("was interrupted")
    print("SIGTERM came")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready")
time.sleep(60)
"""
    began = time.monotonic()
    described = aws.finished(job(script, StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert 1 <= time.monotonic() - began < 45
    assert described["ProcessingJobStatus"] == "Stopped"
    assert described["FailureReason"].startswith("ClientError: MaxRuntimeExceeded: ")
    assert described["ExitMessage"] == "was interrupted"
    assert aws.log("job-1/") == ["ready", "SIGTERM came"]


def test_a_container_that_ignores_sigterm_is_killed_after_the_grace(aws: Aws, job: Job) -> None:
    """The grace is 120 s by default and can be set."""
    aws.open(stop_grace_seconds=0.3)
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(60)"
    described = aws.finished(job(script, StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert described["ProcessingJobStatus"] == "Stopped"


def test_an_image_that_is_not_in_the_registry(aws: Aws, job: Job) -> None:
    """Failed with the URI and what the registry said."""
    request = job("pass")
    request["AppSpecification"]["ImageUri"] = "123456789012.dkr.ecr.us-east-1.amazonaws.com/other:1"
    described = aws.finished(request)
    assert described["FailureReason"].startswith("ClientError: Cannot pull the image: 123456789012.dkr.ecr")


def test_a_container_that_cannot_start(aws: Aws, job: Job) -> None:
    """What the runtime said is the reason."""
    request = job("pass")
    request["AppSpecification"]["ContainerEntrypoint"] = ["/no/such/program"]
    reason = aws.finished(request)["FailureReason"]
    assert reason.startswith("ClientError: The container could not be started: ")
    assert "/no/such/program" in reason


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_nobody_foresaw_fails_the_job(aws: Aws, job: Job) -> None:
    """Not InProgress for ever: InternalServerError with the error, and the next job runs."""

    def break_down(_: Container) -> Container:
        raise RuntimeError("engine on fire")

    working, aws.runtime.wrap = aws.runtime.wrap, break_down
    reason = aws.finished(job("pass"))["FailureReason"]
    assert reason == "InternalServerError: the local AWS failed to run the job: RuntimeError: engine on fire"
    aws.runtime.wrap = working
    assert aws.finished(job("pass", "job-2"))["ProcessingJobStatus"] == "Completed"
    threads_of_jobs_end()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_container_that_the_runtime_loses_fails_the_job(aws: Aws, job: Job) -> None:
    """An engine that dies must not leave the job InProgress for ever."""

    class ForgetfulContainer:
        def __init__(self, container: Container) -> None:
            self.container = container

        def wait(self, timeout_seconds: float | None = None) -> ContainerExit | None:
            self.container.wait(timeout_seconds)
            raise ConnectionError("no engine answers")

        def stop(self, grace_seconds: float) -> None:
            self.container.stop(grace_seconds)

    aws.runtime.wrap = ForgetfulContainer
    described = aws.finished(job("pass"))
    assert described["ProcessingJobStatus"] == "Failed"
    assert described["FailureReason"].startswith(
        "InternalServerError: the local AWS failed to run the job: ContainerLostError"
    )
    threads_of_jobs_end()


def test_an_exit_message_that_is_not_utf8_fails_a_job(aws: Aws, job: Job) -> None:
    """As the developer guide says, with a ClientError."""
    described = aws.finished(job(r"open('/opt/ml/output/message', 'wb').write(b'ab\xff')"))
    assert described["ProcessingJobStatus"] == "Failed"
    assert described["FailureReason"].startswith("ClientError: The exit message in /opt/ml/output/message is not UTF-8")


def test_instances_run_at_the_same_time_with_their_shards(aws: Aws, job: Job) -> None:
    """Each instance has its own share of a sharded input, its own resourceconfig and log stream."""
    aws.store.objects["data"] = {f"in/{n}.csv": str(n).encode() for n in range(5)} | {"all/x": b""}
    script = """
import json, os
host = json.load(open("/opt/ml/config/resourceconfig.json"))
print(host["hosts"])
listing = sorted(os.listdir("/opt/ml/processing/input")) + os.listdir("/opt/ml/processing/all")
json.dump(listing, open(f"/opt/ml/processing/output/{host['current_host']}", "w"))
"""
    sharded = s3_input("data", "s3://data/in", S3DataDistributionType="ShardedByS3Key")
    cluster = {"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
    aws.finished(
        job(
            script,
            ProcessingInputs=[sharded, s3_input("all", "s3://data/all/", "/opt/ml/processing/all")],
            ProcessingResources={"ClusterConfig": cluster},
        )
    )
    listings = {name: json.loads(content) for name, content in aws.output().items()}
    assert listings == {"algo-1": ["0.csv", "2.csv", "4.csv", "x"], "algo-2": ["1.csv", "3.csv", "x"]}
    assert aws.log("job-1/algo-1-") == aws.log("job-1/algo-2-") == ["['algo-1', 'algo-2']"]


def test_one_failed_instance_ends_the_job(aws: Aws, job: Job) -> None:
    """The others are stopped; the first failure is the reason."""
    script = """
import json, time
if json.load(open("/opt/ml/config/resourceconfig.json"))["current_host"] == "algo-2":
    raise SystemExit(4)
time.sleep(60)
"""
    cluster = {"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
    described = aws.finished(job(script, ProcessingResources={"ClusterConfig": cluster}))
    assert described["FailureReason"] == "AlgorithmError: , exit code: 4"


def test_a_continuous_output_is_uploaded_while_the_job_runs(aws: Aws, job: Job) -> None:
    """And what it left when it failed is there too."""
    script = """
import pathlib, time
output = pathlib.Path("/opt/ml/processing/output")
(output / "first").write_text("1")
while not (output / "go").exists():
    time.sleep(0.02)
(output / "first").write_text("one")
raise SystemExit(1)
"""
    service = aws.open()
    output = {"Outputs": [s3_output("result", "s3://data/out", mode="Continuous")]}
    service.create(SCOPE, job(script, ProcessingOutputConfig=output))
    deadline = time.monotonic() + 60
    while aws.output() != {"first": b"1"}:
        assert time.monotonic() < deadline, aws.output()
        time.sleep(0.05)
    (aws.runtime.started[0].ml_folder / "processing" / "output" / "go").touch()
    assert service.wait(SCOPE, "job-1", 10)
    assert service.describe(SCOPE, "job-1")["ProcessingJobStatus"] == "Failed"
    assert aws.output() == {"first": b"one", "go": b""}


def test_what_the_application_manages_is_left_to_it(aws: Aws, job: Job) -> None:
    """AppManaged inputs are not downloaded, AppManaged outputs not uploaded; both are in the configuration."""
    given = s3_input("data", "s3://data/nowhere/") | {"AppManaged": True}
    output = s3_output("result", "s3://data/out/") | {"AppManaged": True}
    script = "open('/opt/ml/processing/output/x', 'w').write('1')"
    described = aws.finished(job(script, ProcessingInputs=[given], ProcessingOutputConfig={"Outputs": [output]}))
    assert described["ProcessingJobStatus"] == "Completed"
    assert aws.output() == {}


def test_network_isolation_reaches_the_runtime(aws: Aws, job: Job) -> None:
    """What isolation means is the runtime's business; that it is asked for is this one's."""
    aws.finished(job("pass", NetworkConfig={"EnableNetworkIsolation": True}))
    assert aws.runtime.started[0].network_isolated


def test_a_chatty_script_is_logged_in_batches_in_order(aws: Aws, job: Job) -> None:
    """50,000 lines arrive complete, in far fewer batches."""
    assert aws.finished(job("for n in range(50_000): print(n)"))["ProcessingJobStatus"] == "Completed"
    assert aws.log("job-1/")[:50_000] == [str(n) for n in range(50_000)]
    assert len(aws.logs.batch_times) < 200


def test_lines_are_there_while_the_job_runs(aws: Aws, job: Job) -> None:
    """Somebody who follows the log sees a line soon after it was printed."""
    service = aws.open()
    service.create(SCOPE, job("import time; print('ready'); time.sleep(60)"))
    deadline = time.monotonic() + 60
    while not aws.logs.lines:
        assert time.monotonic() < deadline, service.describe(SCOPE, "job-1")
        time.sleep(0.02)
    assert aws.log("job-1/") == ["ready"]
    service.stop(SCOPE, "job-1")
    assert service.wait(SCOPE, "job-1", 10)


def test_a_record_holds_the_whole_job(aws: Aws, job: Job) -> None:
    """Closing and opening the folder gives back the same description, and the name stays taken."""
    described = aws.finished(job(COPY, NetworkConfig=None, ExperimentConfig={"TrialName": "t"}))
    assert isinstance(aws.services[-1]._jobs.get(SCOPE, "job-1"), ProcessingJob)
    assert aws.open().describe(SCOPE, "job-1") == described
