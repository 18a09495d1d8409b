"""Whatever the engine answers while others remove, prune or start it again: a container's end is told all the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from stepbridge_local.errors import ImageBuildError
from stepbridge_local.protocols import ContainerExit, ContainerSpec
from stepbridge_local.runtimes.docker import DockerRuntime
from stepbridge_local.runtimes.docker.command_line import find_program
from tests.integration.docker_runtime.engine_proxy import BROKEN, EngineProxy, proxied

BASE_IMAGE = "stepbridge-test-base"
any_answer = pytest.mark.parametrize("answer", [404, 409, 500, BROKEN])
UNTIL_GO = "import os, time\nprint('ready')\nwhile not os.path.exists('/opt/ml/go'): time.sleep(0.02)\n"


@pytest.fixture
def proxy(engine: docker.DockerClient, tmp_path: Path) -> Iterator[EngineProxy]:
    assert engine.ping()
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        pytest.skip(f"the proxy stands before a socket, and the engine is on {host}")
    with proxied(host.removeprefix("unix://"), tmp_path / "proxy.sock") as proxy:
        yield proxy


@pytest.fixture
def client(proxy: EngineProxy) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=f"unix://{proxy.server_address!s}", timeout=120)
    yield client
    client.close()


@pytest.fixture
def runtime(client: docker.DockerClient, tmp_path: Path) -> Iterator[DockerRuntime]:
    program = find_program()
    through = {**program.environment, "DOCKER_HOST": f"unix://{client.api.adapters['http+docker://'].socket_path}"}
    runtime = DockerRuntime(client, tmp_path / "owner", replace(program, environment=through))
    yield runtime
    runtime.close()


def job(tmp_path: Path, script: str) -> ContainerSpec:
    (tmp_path / "ml").mkdir(exist_ok=True)
    return ContainerSpec("job", BASE_IMAGE, tmp_path / "ml", entrypoint=["python3", "-uc", script])


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 240
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@any_answer
@pytest.mark.parametrize("request_line", [r"GET .*/changes", r"DELETE .*/containers/"])
def test_what_follows_an_end_does_not_lose_its_code(
    runtime: DockerRuntime,
    proxy: EngineProxy,
    client: docker.DockerClient,
    tmp_path: Path,
    request_line: str,
    answer: int,
) -> None:
    proxy.refuse(request_line, answer, times=1)
    lines: list[str] = []
    outcome = runtime.start(job(tmp_path, "print('worked'); raise SystemExit(3)"), lines.append).wait(240)
    assert (outcome, lines) == (ContainerExit(3), ["worked"])
    assert len(proxy.refused) == 1
    DockerRuntime(client, tmp_path / "owner")  # what could not be removed is a leftover
    assert not client.containers.list(
        all=True, sparse=True, filters={"label": f"stepbridge_local.owner={runtime._owner}"}
    )


@any_answer
def test_a_wait_that_breaks_off_is_made_again(
    runtime: DockerRuntime, proxy: EngineProxy, tmp_path: Path, answer: int
) -> None:
    proxy.refuse(r"POST .*/wait", answer)
    lines: list[str] = []
    container = runtime.start(job(tmp_path, UNTIL_GO + "raise SystemExit(4)"), lines.append)
    until(lambda: lines == ["ready"])
    proxy.refuse(r"GET .*/containers/[0-9a-f]+/json", 500, times=2)  # an engine that is being started
    until(lambda: len([request for request in proxy.refused if request.endswith("/json")]) == 2)
    assert container.wait(0.3) is None
    (tmp_path / "ml/go").touch()
    assert container.wait(240) == ContainerExit(4)


def test_an_output_that_breaks_off_is_no_end(runtime: DockerRuntime, proxy: EngineProxy, tmp_path: Path) -> None:
    lines: list[str] = []
    container = runtime.start(job(tmp_path, UNTIL_GO + "raise SystemExit(5)"), lines.append)
    until(lambda: lines == ["ready"])
    proxy.break_off()
    assert container.wait(0.3) is None
    (tmp_path / "ml/go").touch()
    assert container.wait(240) == ContainerExit(5)


@any_answer
def test_a_kill_that_fails_is_made_again(
    runtime: DockerRuntime, proxy: EngineProxy, tmp_path: Path, answer: int
) -> None:
    proxy.refuse(r"POST .*/kill", answer, times=2)
    container = runtime.start(job(tmp_path, "import time; time.sleep(600)"), lambda _: None)
    container.stop(0)
    assert container.wait(240) == ContainerExit(137)
    assert len(proxy.refused) == 2


@any_answer
@pytest.mark.parametrize("request_line", [r"POST .*/containers/create", r"POST .*/attach", r"POST .*/start"])
def test_a_start_that_the_engine_refuses_is_an_end_in_words(
    runtime: DockerRuntime, proxy: EngineProxy, tmp_path: Path, request_line: str, answer: int
) -> None:
    proxy.refuse(request_line, answer)
    outcome = runtime.start(job(tmp_path, "print('never')"), lambda _: None).wait(240)
    assert outcome is not None
    assert outcome.exit_code is None
    assert outcome.error


def test_a_container_removed_from_outside_counts_as_killed(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    lines: list[str] = []
    container = runtime.start(job(tmp_path, UNTIL_GO), lines.append)
    until(lambda: lines == ["ready"])
    engine.api.remove_container(f"stepbridge-{runtime._owner}-job", force=True)
    assert container.wait(240) == ContainerExit(137)


@any_answer
def test_a_leftover_that_stays_does_not_keep_a_runtime_from_its_start(
    proxy: EngineProxy, engine: docker.DockerClient, client: docker.DockerClient, tmp_path: Path, answer: int
) -> None:
    owner = {"stepbridge_local.owner": DockerRuntime(client, tmp_path / "owner")._owner}
    left = engine.containers.create(BASE_IMAGE, ["true"], labels=owner)
    proxy.refuse("DELETE", answer)
    try:
        DockerRuntime(client, tmp_path / "owner")
        assert len(proxy.refused) == 1
    finally:
        left.remove()


@any_answer
def test_a_build_that_breaks_off_fails_in_words(
    runtime: DockerRuntime, proxy: EngineProxy, tmp_path: Path, answer: int
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\n")
    proxy.refuse(r"POST .*/build", answer)
    with pytest.raises(ImageBuildError, match="docker build failed"):
        runtime.build(tmp_path, "Dockerfile", {}, lambda _: None)
    assert proxy.refused
