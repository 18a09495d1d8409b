"""Building images: from Dockerfiles and package indexes as they are, kept and found again."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stepbridge_local.errors import ImageBuildError
from stepbridge_local.protocols import BuiltImage, ContainerExit, ContainerSpec, ServiceError
from stepbridge_local.runtimes.process import ProcessRuntime
from stepbridge_local.runtimes.process.errors import DockerfileError

from .conftest import Run, write_context

CODE_LAST = """FROM python
COPY requirements.txt /
RUN pip install -r /requirements.txt
COPY . /app/
CMD python /app/a.py
"""
BACKEND = """
import os, sys
sys.path.insert(0, os.path.dirname(__file__))
def get_requires_for_build_wheel(config_settings=None): return []
def build_wheel(folder, config_settings=None, metadata_directory=None):
    from wheel_writer import write_wheel
    seen = [path for path in HOST_PATHS if os.path.lexists(path)] + [name for name in os.environ if "AWS" in name]
    return write_wheel(folder, "probe", "1.0", f"seen = {seen!r}")
"""
WHEEL_WRITER = """
import os, zipfile
def write_wheel(folder, name, version, code):
    file_name = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, file_name), "w") as wheel:
        def write(path, text): wheel.writestr(f"{name}-{version}.dist-info/{path}", text)
        wheel.writestr(f"{name}.py", code)
        write("METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        write("WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        write("RECORD", "")
    return file_name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "probe"
version = "1.0"
"""


def built(runtime: ProcessRuntime, context: Path, **build_args: str) -> tuple[BuiltImage, list[str]]:
    lines: list[str] = []
    return runtime.build(context, "Dockerfile", build_args, lines.append), lines


def output(runtime: ProcessRuntime, image: BuiltImage, folder: Path, *arguments: str) -> list[str]:
    lines: list[str] = []
    run = Run(
        runtime.start(ContainerSpec("job", image.image_id, folder, arguments=arguments or None), lines.append), lines
    )
    assert run.end() == ContainerExit(0), lines
    return lines


def test_an_image_runs_its_own_command_with_its_files_and_packages(run: Callable[..., Run], image: BuiltImage) -> None:
    """ENTRYPOINT and CMD, WORKDIR, ENV, and what pip installed."""
    first = run()
    assert (first.end(), first.lines) == (ContainerExit(0), ["['from-cmd'] colorama hello world"])
    second = run(arguments=["given"])
    assert (second.end(), second.lines) == (ContainerExit(0), ["['given'] colorama hello world"])
    assert image.size_bytes > 100_000
    assert image.config["Entrypoint"] == ["python", "program.py"]


def test_the_python_of_the_image_is_where_the_official_image_has_it(run: Callable[..., Run]) -> None:
    """Under each of its names, with pip."""
    script = "for p in python python3 /usr/local/bin/python; do $p -c 'import sys, colorama; print(sys.prefix)'; done"
    job = run(
        "/bin/sh", "-c", f"{script}; python -m pip --version | cut -d' ' -f1; cat /usr/src/app/program.py | wc -l"
    )
    assert (job.end(), job.lines) == (ContainerExit(0), ["/opt/venv"] * 3 + ["pip", "3"])


def test_an_unchanged_rebuild_does_nothing_and_changed_code_installs_nothing(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    """The packages of a layer are found by all that led to it."""
    context = write_context(
        tmp_path / "context", {"Dockerfile": CODE_LAST, "requirements.txt": "colorama\n", "a.py": "print(1)"}
    )
    first, lines = built(runtime, context)
    assert "COPY requirements.txt /" in "\n".join(lines)
    again, lines = built(runtime, context)
    assert (again, lines[:-1]) == (first, ["Nothing has changed since it was built"])
    (context / "a.py").write_text("print(2)")
    changed, lines = built(runtime, context)
    assert changed.image_id != first.image_id
    assert "Using the result of an earlier build" in lines
    assert output(runtime, changed, tmp_path) == ["2"]
    assert output(runtime, first, tmp_path) == ["1"]
    (context / "requirements.txt").write_text("colorama\nsix\n")
    (context / "a.py").write_text("import six; print(six.__name__)")
    more, lines = built(runtime, context)
    assert any(line.strip().startswith("+ six==") for line in lines), lines
    assert output(runtime, more, tmp_path) == ["six"]


def test_packages_are_on_disk_once(runtime: ProcessRuntime, image: BuiltImage, tmp_path: Path) -> None:
    """Images with the same package share its files."""
    context = write_context(tmp_path / "c", {"Dockerfile": "FROM python\nRUN pip install colorama==0.4.6 six"})
    other, _ = built(runtime, context)
    files = [
        next(folder.glob("venv/lib/python*/site-packages/colorama/ansi.py"))
        for folder in (image_folder(runtime, image), image_folder(runtime, other))
    ]
    if files[0].stat().st_dev != runtime._environments._cache.stat().st_dev:
        pytest.skip("uv's cache is on another file system: it copies")
    assert files[0].samefile(files[1])


def image_folder(runtime: ProcessRuntime, image: BuiltImage) -> Path:
    return runtime._store.folder / image.image_id.removeprefix("sha256:")


def test_images_outlive_the_program_that_built_them(tmp_path: Path) -> None:
    """Another runtime on the same folder runs them."""
    context = write_context(
        tmp_path / "c", {"Dockerfile": "FROM python\nCOPY a.py /\nCMD python /a.py", "a.py": "print(42)"}
    )
    before = ProcessRuntime(tmp_path / "images", tmp_path / "work")
    image, _ = built(before, context)
    before.close()
    after = ProcessRuntime(tmp_path / "images", tmp_path / "work")
    assert after.image(image.image_id) == image
    assert after.image("sha256:" + "0" * 64) is None
    assert after.image("../../etc") is None
    assert output(after, image, tmp_path) == ["42"]
    after.close()


def test_builds_at_the_same_time_give_one_image(tmp_path: Path) -> None:
    """Also of two programs on one folder; nothing half-made stays behind."""
    files = {"Dockerfile": CODE_LAST, "requirements.txt": "colorama\n", "a.py": "import colorama; print(7)"}
    context = write_context(tmp_path / "c", files)
    runtimes = [ProcessRuntime(tmp_path / "images", tmp_path / f"work{number}") for number in range(2)]
    barrier = threading.Barrier(6)

    def build(number: int) -> str:
        barrier.wait()
        return built(runtimes[number % 2], context)[0].image_id

    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(build, range(6)))
    assert len(ids) == 1
    assert list((tmp_path / "images/tmp").glob("session-*")) == []
    image = runtimes[0].image(ids.pop())
    assert image is not None
    assert output(runtimes[1], image, tmp_path) == ["7"]
    for runtime in runtimes:
        runtime.close()


def test_a_failed_install_names_its_line_and_shows_what_pip_would_have(runtime: ProcessRuntime, tmp_path: Path) -> None:
    """And makes no image; the build after its correction succeeds."""
    context = write_context(tmp_path / "c", {"Dockerfile": "FROM python\n\nRUN pip install colorama==99.99"})
    with pytest.raises(ImageBuildError) as failed:
        built(runtime, context)
    text = str(failed.value)
    assert text.startswith("Dockerfile:3: RUN: `uv pip install --python /opt/venv/bin/python colorama==99.99` ended")
    assert "exit code 1" in text
    assert "colorama" in text.partition("\n")[2]
    (context / "Dockerfile").write_text("FROM python\nRUN pip install -r missing.txt")
    with pytest.raises(ImageBuildError, match=r"missing\.txt"):
        built(runtime, context)


def test_all_that_is_wrong_with_a_dockerfile_and_its_context_at_once(runtime: ProcessRuntime, tmp_path: Path) -> None:
    """In the order of the lines, before anything is done."""
    dockerfile = "FROM python:2.5\nRUN apt-get update\nCOPY missing.py /\nVOLUME /x\n"
    with pytest.raises(DockerfileError) as refused:
        built(runtime, write_context(tmp_path / "c", {"Dockerfile": dockerfile}))
    assert [re.match(r"Dockerfile:(\d): (\w+)", str(problem)).groups() for problem in refused.value.problems] == [  # type: ignore[union-attr]
        ("1", "FROM"),
        ("2", "RUN"),
        ("3", "COPY"),
        ("4", "VOLUME"),
    ]
    assert "--runtime docker" in str(refused.value.problems[0])
    with pytest.raises(ImageBuildError, match="no such file"):
        runtime.build(tmp_path, "Dockerfile", {}, print)


def test_an_image_on_top_of_another(runtime: ProcessRuntime, image: BuiltImage, tmp_path: Path) -> None:
    """FROM an image of the registry: its files, packages and settings are there."""

    def resolve(uri: str) -> str:
        if uri == "1.dkr.ecr.us-east-1.amazonaws.com/base:1":
            return image.image_id
        raise ServiceError("ImageNotFoundException", uri)

    on_top = ProcessRuntime(runtime._store.folder, tmp_path / "work", resolve=resolve)
    dockerfile = (
        "FROM 1.dkr.ecr.us-east-1.amazonaws.com/base:1\nRUN pip install six\nENV GREETING=again\n"
        'COPY own.py program.py\nCMD ["x"]\n'
    )
    own = "import six, colorama, os, sys; print(six.__name__, os.environ['GREETING'], os.getcwd(), sys.argv[1:])"
    context = write_context(tmp_path / "c", {"Dockerfile": dockerfile, "own.py": own})
    made, _ = built(on_top, context)
    assert output(on_top, made, tmp_path) == ["six again /opt/program ['x']"]
    assert output(on_top, image, tmp_path) == ["['from-cmd'] colorama hello world"]
    (context / "Dockerfile").write_text("FROM 1.dkr.ecr.us-east-1.amazonaws.com/missing:1")
    with pytest.raises(DockerfileError, match="ImageNotFoundException"):
        built(on_top, context)
    with pytest.raises(DockerfileError, match="--runtime docker"):
        built(runtime, context)
    on_top.close()


def test_code_that_runs_while_a_package_is_built_sees_nothing_of_the_machine(
    runtime: ProcessRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its environment nor its files, and it cannot write to them."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "host-secret")
    seen = tmp_path / "of-the-host"
    seen.write_text("host")
    context = write_context(
        tmp_path / "c",
        {
            "Dockerfile": "FROM python\nCOPY probe /src/probe\nRUN pip install /src/probe\n"
            "CMD python -c 'import probe; print(probe.seen)'",
            "probe/backend.py": BACKEND.replace("HOST_PATHS", repr([str(seen), str(Path(__file__)), "/etc/shadow"])),
            "probe/wheel_writer.py": WHEEL_WRITER,
            "probe/pyproject.toml": PYPROJECT,
        },
    )
    image, _ = built(runtime, context)
    assert output(runtime, image, tmp_path) == ["[]"]


def test_a_build_argument_and_an_index_on_disk(runtime: ProcessRuntime, tmp_path: Path) -> None:
    """``--find-links`` of a folder that was copied in, the version from an ARG."""
    dockerfile = (
        "FROM python\nARG VERSION=3.0\nCOPY wheels /wheels\n"
        "RUN pip install --no-index --find-links /wheels local-thing==$VERSION\n"
        "CMD python -c 'import local_thing; print(local_thing.x)'\n"
    )
    context = write_context(tmp_path / "c", {"Dockerfile": dockerfile, "wheels/README": ""})
    writer: dict[str, Any] = {}
    exec(WHEEL_WRITER, writer)
    writer["write_wheel"](context / "wheels", "local_thing", "3.1", "x = 31")
    image, _ = built(runtime, context, VERSION="3.1")
    assert output(runtime, image, tmp_path) == ["31"]


def test_the_version_of_python_is_the_one_asked_for(runtime: ProcessRuntime, tmp_path: Path) -> None:
    """This program's own when it fits."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = 'CMD ["python", "-c", "import sys; print(sys.version_info[:2])"]'
    dockerfile = f"FROM registry.example.com/library/python:{minor}-slim\n{command}"
    image, _ = built(runtime, write_context(tmp_path / "c", {"Dockerfile": dockerfile}))
    assert output(runtime, image, tmp_path) == [str(tuple(sys.version_info[:2]))]


@pytest.mark.parametrize("difference", [-1, 1])
def test_an_image_runs_on_the_nearest_python_and_says_so(difference: int, tmp_path: Path) -> None:
    """On a machine that has this Python only: in the build's log, and once at the top of each job's."""
    wanted = f"3.{sys.version_info.minor + difference}"
    hidden = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    gone = ("UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME")
    environ = {name: value for name, value in os.environ.items() if name not in gone} | hidden
    files = {"Dockerfile": f"FROM python:{wanted}-slim\nRUN pip install six\nCOPY a.py /\nCMD python /a.py"}
    files["a.py"] = "import six, sys; print('%d.%d.%d' % sys.version_info[:3])"
    context = write_context(tmp_path / "c", files)
    own = "{}.{}.{}".format(*sys.version_info[:3])
    reason = f"FROM python:{wanted}-slim: this machine has no Python {wanted}; running on {own}, the nearest it has"
    runtime = ProcessRuntime(tmp_path / "images", tmp_path / "work", environ=environ)
    try:
        image, lines = built(runtime, context)
        assert lines[0] == reason
        assert reason in image.config["Labels"].values()
        assert output(runtime, image, tmp_path) == [reason, own]
        again, lines = built(runtime, context)
        assert (again, lines[:-1]) == (image, [reason, "Nothing has changed since it was built"])
        (context / "Dockerfile").write_text(files["Dockerfile"].replace(wanted, own))
        exact, lines = built(runtime, context)
        assert exact.image_id != image.image_id
        assert output(runtime, exact, tmp_path) == [own]
    finally:
        runtime.close()
