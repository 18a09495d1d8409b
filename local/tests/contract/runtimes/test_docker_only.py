"""What only a Docker engine does: whole Dockerfiles, limits of the instance type, images lost and fetched again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import httpx
import pytest
from docker.errors import ImageNotFound

from stepbridge_local.runtimes.docker.command_line import find_program
from stepbridge_local.testing import LocalAwsProcess

LIMITS = """\
import os, pathlib
for name in ("memory.max", "memory/memory.limit_in_bytes", "cpu.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"):
    file = pathlib.Path("/sys/fs/cgroup", name)
    if file.exists():
        print(name, *file.read_text().split())
"""
WHOLE_DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS builder
RUN mkdir /made && python -c "print('print(1 + 1)')" > /made/sum.py
FROM ${BASE_IMAGE}
COPY --from=builder /made/sum.py /app/sum.py
USER nobody
CMD ["python", "/app/sum.py"]
"""
BUILDKIT_DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN --mount=type=cache,target=/cache echo made in a mount > /cache/made && cp /cache/made /made
COPY --chmod=755 run.sh /run.sh
CMD ["/bin/sh", "/run.sh"]
"""

docker_only = pytest.mark.parametrize("site", ["docker"], indirect=True)


@docker_only
def test_a_dockerfile_that_the_process_runtime_refuses(site: Any) -> None:
    """Stages, any command and users are Docker's own."""
    status, log = site.build("stages", {"Dockerfile": WHOLE_DOCKERFILE})
    assert status == "SUCCEEDED", log
    assert "123456789012.dkr.ecr.us-east-1.amazonaws.com/models:stages" in log
    site.start_job("stages", "123456789012.dkr.ecr.us-east-1.amazonaws.com/models:stages")
    assert site.ended_job("stages")["ProcessingJobStatus"] == "Completed"
    assert site.job_log("stages")[0] == "2"


@docker_only
def test_a_build_has_buildkit_where_it_is(site: Any) -> None:
    """A mount and COPY --chmod are built; where the build puts BuildKit aside they are refused with a way."""
    if not find_program().buildkit:
        pytest.skip("no docker program on PATH has BuildKit")
    status, log = site.build("buildkit", {"Dockerfile": BUILDKIT_DOCKERFILE, "run.sh": "cat /made"})
    assert status == "SUCCEEDED", log
    site.start_job("buildkit", "123456789012.dkr.ecr.us-east-1.amazonaws.com/models:buildkit")
    assert site.ended_job("buildkit")["ProcessingJobStatus"] == "Completed"
    assert site.job_log("buildkit")[0] == "made in a mount"
    status, log = site.build("classic", {"Dockerfile": BUILDKIT_DOCKERFILE, "run.sh": ""}, DOCKER_BUILDKIT="0")
    assert status == "FAILED"
    assert "Dockerfile:3: RUN: the option --mount" in log
    assert "leave DOCKER_BUILDKIT=0 out" in log


@docker_only
def test_an_instance_type_is_a_limit(site: Any) -> None:
    """ml.t3.medium has 4 GiB and two vCPUs; no container has more than the machine."""
    dockerfile = 'ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY limits.py /limits.py\nCMD ["python", "/limits.py"]\n'
    status, log = site.build("limits", {"Dockerfile": dockerfile, "limits.py": LIMITS})
    assert status == "SUCCEEDED", log
    site.start_job("limits", "123456789012.dkr.ecr.us-east-1.amazonaws.com/models:limits")
    assert site.ended_job("limits")["ProcessingJobStatus"] == "Completed"
    limits = dict(line.split(maxsplit=1) for line in site.job_log("limits"))
    machine = docker.from_env().info()
    memory = limits.get("memory.max") or limits["memory/memory.limit_in_bytes"]
    assert int(memory) == min(4 * 1024**3, machine["MemTotal"])
    quota, period = (
        limits["cpu.max"].split()
        if "cpu.max" in limits
        else (limits["cpu/cpu.cfs_quota_us"], limits["cpu/cpu.cfs_period_us"])
    )
    assert int(quota) / int(period) == min(2, machine["NCPU"])


@docker_only
def test_an_image_that_the_engine_lost_is_fetched_again(site: Any) -> None:
    """From the registry, by its digest; the job just runs."""
    nobody_elses = f'ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nLABEL unique={uuid4()}\nCMD ["python", "-c", "print(42)"]\n'
    status, log = site.build("lost", {"Dockerfile": nobody_elses})
    assert status == "SUCCEEDED", log
    engine = docker.from_env()
    (held,) = [one for one in engine.images.list() if any(tag.endswith("/models:lost") for tag in one.tags)]
    engine.images.remove(held.id, force=True)
    with pytest.raises(ImageNotFound):
        engine.images.get(held.id)
    site.start_job("lost", "123456789012.dkr.ecr.us-east-1.amazonaws.com/models:lost")
    assert site.ended_job("lost")["ProcessingJobStatus"] == "Completed"
    assert site.job_log("lost")[0] == "42"


@docker_only
def test_a_prebuilt_image_that_the_engine_lost_is_built_again(site: Any) -> None:
    """It is in no registry, so a job that needs it has it built."""
    url = f"{site.process.endpoint_url}/_stepbridge/prebuilt-images"
    image_id = httpx.post(url, timeout=120).json()["sagemaker-scikit-learn"]
    docker.from_env().images.remove(image_id)
    uri = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
    entrypoint = {"ImageUri": uri, "ContainerEntrypoint": ["python", "-c", "print(6 * 7)"]}
    site.start_job("prebuilt-again", uri, AppSpecification=entrypoint)
    assert site.ended_job("prebuilt-again")["ProcessingJobStatus"] == "Completed"


@docker_only
def test_a_stopped_build_stops_its_docker_build(site: Any) -> None:
    """What a RUN started on the engine ends with the build."""
    command = f"sleep {300 + os.getpid() / 1e6}"
    build_id = site.start_build("stopped", {"Dockerfile": f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN {command}\n"})
    until(lambda: running(command), "the command does not run")
    site.client("codebuild").stop_build(id=build_id)
    assert site.ended_build(build_id)["buildStatus"] == "STOPPED"
    until(lambda: not running(command), "the command still runs")


def running(command: str) -> bool:
    """Whether a process of this machine is that command: BuildKit's are in no container that the engine lists."""
    wanted = command.replace(" ", "\0") + "\0"
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if process.read_text(errors="replace") == wanted:
                return True
    return False


def until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


def test_docker_without_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local AWS does not start, and says where it looked; with ``auto`` it runs processes."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    refused = LocalAwsProcess(tmp_path / "refused" / "data", ("--runtime", "docker"))
    refused.data_dir.parent.mkdir()
    with pytest.raises(AssertionError, match=f"no Docker engine answers on unix://{tmp_path}/nobody.sock"):
        refused.start()
    automatic = LocalAwsProcess(tmp_path / "automatic" / "data", ("--runtime", "auto"))
    automatic.data_dir.parent.mkdir()
    automatic.start()
    assert "runtime: process" in automatic.log.read_text()
    assert automatic.stop() == 0
