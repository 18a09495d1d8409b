"""A real runtime, one image with a package in it, and ways to run containers of it and to look for processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stepbridge_local.protocols import BuiltImage, Container, ContainerExit, ContainerSpec
from stepbridge_local.runtimes.process import ProcessRuntime

DOCKERFILE = """
FROM python:3-slim
ENV GREETING="hello world"
WORKDIR /opt/program
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY program.py tool.sh ./
COPY program.py /usr/src/app/
ENTRYPOINT ["python", "program.py"]
CMD ["from-cmd"]
"""
PROGRAM = """
import os, sys, colorama
print(sys.argv[1:], colorama.__name__, os.environ["GREETING"])
"""


@dataclass
class Run:
    """A started container and the lines it wrote so far."""

    container: Container
    lines: list[str] = field(default_factory=list)

    def end(self, timeout_seconds: float = 60) -> ContainerExit:
        end = self.container.wait(timeout_seconds)
        assert end is not None, f"still running after {timeout_seconds} s; it wrote {self.lines}"
        return end

    def until(self, line: str, timeout_seconds: float = 60) -> None:
        deadline = time.monotonic() + timeout_seconds
        while line not in self.lines:
            assert time.monotonic() < deadline, f"no line {line!r} within {timeout_seconds} s, but {self.lines}"
            assert self.container.wait(0.01) is None or line in self.lines, f"it ended after {self.lines}"


Start = Callable[..., Run]


def python(code: str) -> tuple[str, str, str]:
    """The command that runs the code."""
    return ("python", "-c", code)


def write_context(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def running_with(marker: str) -> list[str]:
    """The command lines on this machine that hold the marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        found += [command] if marker in command else []
    return found


def gone(marker: str, timeout_seconds: float = 20) -> None:
    """Wait until no process has the marker in its command line."""
    deadline = time.monotonic() + timeout_seconds
    while left := running_with(marker):
        assert time.monotonic() < deadline, f"still running after {timeout_seconds} s: {left}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessRuntime]:
    folder = tmp_path_factory.mktemp("process-runtime")
    runtime = ProcessRuntime(folder / "images", folder / "work")
    yield runtime
    runtime.close()


@pytest.fixture(scope="session")
def image(runtime: ProcessRuntime, tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    files = {
        "Dockerfile": DOCKERFILE,
        "requirements.txt": "colorama==0.4.6\n",
        "program.py": PROGRAM,
        "tool.sh": "echo never executable\n",
    }
    context = write_context(tmp_path_factory.mktemp("context"), files)
    lines: list[str] = []
    try:
        return runtime.build(context, "Dockerfile", {}, lines.append)
    finally:
        print("\n".join(lines))


@pytest.fixture
def ml_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "ml"
    folder.mkdir()
    return folder


@pytest.fixture
def run(runtime: ProcessRuntime, image: BuiltImage, ml_folder: Path) -> Callable[..., Run]:
    """Start a container of the image; keywords are members of ContainerSpec."""

    def start(*entrypoint: str, **members: Any) -> Run:
        lines: list[str] = []
        known: dict[str, Any] = {"name": "job", "image_id": image.image_id, "ml_folder": ml_folder}
        if entrypoint:
            known["entrypoint"] = entrypoint
        return Run(runtime.start(ContainerSpec(**{**known, **members}), lines.append), lines)

    return start
