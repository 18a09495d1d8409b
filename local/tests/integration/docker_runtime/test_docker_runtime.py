"""The docker runtime against a real engine: builds, runs, stops, isolates, and leaves nothing behind."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from stepbridge_local.errors import ImageBuildError
from stepbridge_local.protocols import ContainerExit, ContainerSpec
from stepbridge_local.runtimes.docker import DockerRuntime
from stepbridge_local.runtimes.docker.command_line import find_program

BASE_IMAGE = "stepbridge-test-base"

DOCKERFILE = f"""\
ARG BASE_IMAGE={BASE_IMAGE}
FROM ${{BASE_IMAGE}}
ARG GREETING=hello
ENV GREETING=${{GREETING}}
WORKDIR /app
COPY main.py .
ENTRYPOINT ["python3", "-u", "/app/main.py"]
"""


def build(runtime: DockerRuntime, folder: Path, script: str, **build_args: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "main.py").write_text(script)
    return runtime.build(folder, "Dockerfile", build_args, lambda _: None).image_id


def run(runtime: DockerRuntime, spec: ContainerSpec) -> tuple[ContainerExit | None, list[str]]:
    lines: list[str] = []
    container = runtime.start(spec, lines.append)
    return container.wait(240), lines


def ml_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "ml"
    (folder / "processing" / "output").mkdir(parents=True)
    return folder


def test_a_container_sees_opt_ml_environment_and_arguments(runtime: DockerRuntime, tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "print(os.environ['GREETING'], os.environ['EXTRA'], sys.argv[1:])\n"
        "open('/opt/ml/processing/output/made.txt', 'w').write('made')\n"
        "sys.stderr.write('no line end')\n"
        "sys.exit(3)\n"
    )
    image = build(runtime, tmp_path / "context", script, GREETING="good day")
    folder = ml_folder(tmp_path)
    spec = ContainerSpec("job-1", image, folder, arguments=["--day", "1"], environment={"EXTRA": "x"})
    outcome, lines = run(runtime, spec)
    assert outcome == ContainerExit(3)
    assert sorted(lines) == ["good day x ['--day', '1']", "no line end"]
    assert (folder / "processing/output/made.txt").read_text() == "made"


def test_an_entrypoint_replaces_the_images_command(runtime: DockerRuntime, tmp_path: Path) -> None:
    image = build(runtime, tmp_path / "context", "raise SystemExit(9)")
    spec = ContainerSpec("job-2", image, ml_folder(tmp_path), entrypoint=["python3", "-c", "print('mine')"])
    assert run(runtime, spec) == (ContainerExit(0), ["mine"])


def test_an_end_says_what_is_new_in_the_working_folder(runtime: DockerRuntime, tmp_path: Path) -> None:
    image = build(runtime, tmp_path / "context", "open('mine.csv', 'w').close(); open('/tmp/other', 'w').close()")
    outcome, _ = run(runtime, ContainerSpec("job-7", image, ml_folder(tmp_path)))
    assert outcome is not None
    assert (outcome.working_folder, list(outcome.left_behind)) == ("/app", ["mine.csv"])


def test_stop_sends_sigterm_then_kills_after_the_grace(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    script = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'asked to stop\\n'))\n"
        "print('ready')\n"
        "while True: time.sleep(0.1)\n"
    )
    image = build(runtime, tmp_path / "context", script)
    lines: list[str] = []
    container = runtime.start(ContainerSpec("job-3", image, ml_folder(tmp_path)), lines.append)
    deadline = time.monotonic() + 240
    while "ready" not in lines:
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)
    container.stop(1.0)
    assert container.wait(0.2) is None
    assert container.wait(240) == ContainerExit(137)
    assert lines == ["ready", "asked to stop"]
    assert not [c for c in engine.containers.list(all=True) if c.name.endswith("-job-3")]


def test_a_stop_right_after_the_start_still_ends_it(runtime: DockerRuntime, tmp_path: Path) -> None:
    image = build(runtime, tmp_path / "context", "import time; time.sleep(600)")
    container = runtime.start(ContainerSpec("job-4", image, ml_folder(tmp_path)), lambda _: None)
    container.stop(0)
    assert container.wait(240) == ContainerExit(137)


def test_an_isolated_container_has_only_its_loopback(runtime: DockerRuntime, tmp_path: Path) -> None:
    image = build(runtime, tmp_path / "context", "import socket; print([n for _, n in socket.if_nameindex()])")
    spec = ContainerSpec("job-5", image, ml_folder(tmp_path), network_isolated=True)
    outcome, lines = run(runtime, spec)
    assert outcome == ContainerExit(0)
    assert lines == ["['lo']"]


def test_memory_is_what_the_instance_has(runtime: DockerRuntime, tmp_path: Path) -> None:
    image = build(runtime, tmp_path / "context", "x = bytearray(512 * 1024 * 1024); print('never')")
    spec = ContainerSpec("job-6", image, ml_folder(tmp_path), memory_bytes=64 * 1024 * 1024)
    outcome, lines = run(runtime, spec)
    assert outcome == ContainerExit(137)
    assert lines == []


def test_an_image_that_is_gone_is_said(runtime: DockerRuntime, tmp_path: Path) -> None:
    outcome, _ = run(runtime, ContainerSpec("job-7", "sha256:" + "0" * 64, ml_folder(tmp_path)))
    assert outcome is not None
    assert outcome.exit_code is None
    assert "build it again" in str(outcome.error)


def test_a_command_that_does_not_exist_is_said(runtime: DockerRuntime, tmp_path: Path) -> None:
    image = build(runtime, tmp_path / "context", "")
    outcome, _ = run(runtime, ContainerSpec("job-8", image, ml_folder(tmp_path), entrypoint=["/no/such"]))
    assert outcome is not None
    assert outcome.exit_code is None
    assert "/no/such" in str(outcome.error)


def test_a_failed_build_raises_with_the_engines_words(runtime: DockerRuntime, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nRUN echo trying && exit 5\n")
    lines: list[str] = []
    with pytest.raises(ImageBuildError, match=r"(exit|returned a non-zero) code: 5"):
        runtime.build(tmp_path, "Dockerfile", {}, lines.append)
    assert any("trying" in line for line in lines)


def test_closing_kills_what_runs_and_a_new_runtime_removes_leftovers(
    engine: docker.DockerClient, tmp_path: Path
) -> None:
    runtime = DockerRuntime(engine, tmp_path / "owner")
    image = build(runtime, tmp_path / "context", "import time; time.sleep(600)")
    container = runtime.start(ContainerSpec("job-9", image, ml_folder(tmp_path)), lambda _: None)
    runtime.close()
    assert container.wait(240) == ContainerExit(137)

    orphan = DockerRuntime(engine, tmp_path / "owner")
    left = orphan.start(ContainerSpec("job-10", image, ml_folder(tmp_path / "second")), lambda _: None)
    DockerRuntime(engine, tmp_path / "owner")  # as after a crash: the earlier one never closed
    assert left.wait(240) is not None
    assert not [c for c in engine.containers.list(all=True) if c.name.endswith("-job-10")]


NEEDS_BUILDKIT = f"""\
FROM {BASE_IMAGE}
RUN --mount=type=cache,target=/cache echo kept >> /cache/kept && cp /cache/kept /kept
COPY --chmod=751 main.py /main.py
"""


HEREDOCS = f"""\
FROM {BASE_IMAGE}
ENV NAME=you
RUN --mount=type=cache,target=/cache <<EOF
echo first > /cache/made
echo second >> /cache/made
cp /cache/made /made
EOF
COPY <<EOF /replaced
hello $NAME
EOF
COPY --chmod=750 <<"EOF" /kept
hello $NAME
EOF
"""


def test_buildkit_builds_where_it_is(runtime: DockerRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounts of caches and COPY --chmod; the context may be a relative path."""
    if not find_program().buildkit:
        pytest.skip("no docker program on PATH has BuildKit")
    (tmp_path / "Dockerfile").write_text(NEEDS_BUILDKIT)
    (tmp_path / "main.py").touch()
    monkeypatch.chdir(tmp_path.parent)
    image = runtime.build(Path(tmp_path.name), "Dockerfile", {}, lambda _: None).image_id
    spec = ContainerSpec(
        "job-11", image, ml_folder(tmp_path), entrypoint=["sh", "-c", "stat -c %a /main.py; cat /kept"]
    )
    outcome, lines = run(runtime, spec)
    assert outcome == ContainerExit(0)
    assert lines[:2] == ["751", "kept"]


def test_here_documents_are_built_or_refused_with_a_way(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """Commands, a file with variables replaced, and one as it is; beside a cache mount and COPY --chmod.

    The BuildKit of an engine before 23 reads none. Then each is refused before anything is built.
    """
    if not find_program().buildkit:
        pytest.skip("no docker program on PATH has BuildKit")
    (tmp_path / "Dockerfile").write_text(HEREDOCS)
    if int(engine.version()["Version"].partition(".")[0]) < 23:
        lines: list[str] = []
        with pytest.raises(ImageBuildError) as refused:
            runtime.build(tmp_path, "Dockerfile", {}, lines.append)
        for place in ("Dockerfile:3: RUN", "Dockerfile:8: COPY", "Dockerfile:11: COPY"):
            assert f"{place}: a here-document" in str(refused.value)
        assert "put it into a file of the context, which COPY brings" in str(refused.value)
        assert not [line for line in lines if line.startswith(("Step ", "#"))]
        return
    image = runtime.build(tmp_path, "Dockerfile", {}, lambda _: None).image_id
    spec = ContainerSpec(
        "job-13", image, ml_folder(tmp_path), entrypoint=["sh", "-c", "cat /made /replaced /kept; stat -c %a /kept"]
    )
    outcome, lines = run(runtime, spec)
    assert outcome == ContainerExit(0)
    assert lines[:5] == ["first", "second", "hello you", "hello $NAME", "750"]


def test_without_buildkit_its_needs_are_refused_with_a_way(engine: docker.DockerClient, tmp_path: Path) -> None:
    """And what is advised builds."""
    program = replace(find_program(), buildkit=False)
    runtime = DockerRuntime(engine, tmp_path / "owner", program)
    (tmp_path / "Dockerfile").write_text(NEEDS_BUILDKIT)
    (tmp_path / "main.py").touch()
    with pytest.raises(ImageBuildError, match=r"leave a cache's mount out.* write RUN chmod behind it"):
        runtime.build(tmp_path, "Dockerfile", {}, lambda _: None)
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nCOPY main.py /main.py\nRUN chmod 751 /main.py\n")
    image = runtime.build(tmp_path, "Dockerfile", {}, lambda _: None).image_id
    spec = ContainerSpec("job-12", image, ml_folder(tmp_path), entrypoint=["stat", "-c", "%a", "/main.py"])
    assert run(runtime, spec) == (ContainerExit(0), ["751"])


@pytest.mark.parametrize("buildkit", [True, False])
def test_a_base_image_that_cannot_be_pulled_names_the_option(
    engine: docker.DockerClient, tmp_path: Path, buildkit: bool
) -> None:
    """From a registry where nobody listens, as for an engine without a way out."""
    program = find_program()
    runtime = DockerRuntime(engine, tmp_path / "owner", replace(program, buildkit=buildkit and program.buildkit))
    (tmp_path / "Dockerfile").write_text("ARG BASE_IMAGE=127.0.0.1:9/python:3.11\nFROM ${BASE_IMAGE}\n")
    with pytest.raises(ImageBuildError, match=r"docker build failed: .*127\.0\.0\.1:9.* --base-image"):
        runtime.build(tmp_path, "Dockerfile", {}, lambda _: None)
