"""What the sandbox is and is not: each sentence of docs/process-runtime.md, in a job, in a build and in an install."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from stepbridge_local.errors import ImageBuildError
from stepbridge_local.protocols import BuiltImage, ContainerSpec
from stepbridge_local.runtimes.process import ProcessRuntime
from stepbridge_local.runtimes.process.package_index import cache_folder

from .conftest import running_with, write_context

DOCUMENT = Path(__file__).parents[3] / "docs" / "process-runtime.md"
MARKER = f"marker-{uuid.uuid4().hex}"
LIMITS = ["RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_RSS", "RLIMIT_CPU", "RLIMIT_FSIZE"]  # of memory, CPU and disk
SECRET = f"secret-{uuid.uuid4().hex}"

# Writes JSON between marks, in digits that can be put together again where uv has broken the line.
PROBE = """
import ctypes, glob, json, os, resource, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)

def outcome(action):
    try:
        return str(action())
    except OSError as error:
        return os.strerror(error.errno)

def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    return os.strerror(ctypes.get_errno()) if result == -1 else "done"

def text(path):
    try:
        return open(path, "rb").read().decode(errors="replace")
    except OSError:
        return ""

def send(number):
    os.kill(1, number)
    return "sent"

facts = {
    "paths": [path for path in HOST_PATHS if os.path.lexists(path)],
    "environment": dict(os.environ),
    "environments": "".join(map(text, glob.glob("/proc/[0-9]*/environ"))),
    "processes": len(glob.glob("/proc/[0-9]*")),
    "home": [
        path
        for folder, _, names in os.walk("/root")
        for path in (os.path.join(folder, name) for name in names)
        if not path.startswith(sys.base_prefix)
    ],
    "system": outcome(lambda: open("/usr/bin/new", "w")),
    "python": outcome(lambda: open(os.path.join(sys.base_prefix, "new"), "w")),
    "own": outcome(lambda: open("/new", "w").write("x")),
    "kernel": outcome(lambda: open("/proc/sys/kernel/core_pattern", "w")),
    "mount": call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "device": outcome(lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0))),
    "hostname": outcome(lambda: socket.sethostname("x")),
    "killed": outcome(lambda: send(signal.SIGKILL)),
    "stopped": outcome(lambda: send(signal.SIGSTOP)),
    "traced": call("ptrace", 16, 1, 0, 0),
    "most_processes": text("/proc/sys/kernel/pid_max").strip(),
    "network": outcome(lambda: socket.create_connection(("127.0.0.1", PORT), 10).close()),
    "abstract": outcome(lambda: socket.socket(socket.AF_UNIX).connect(ABSTRACT)),
    "kernel_release": os.uname().release,
    "limits": [resource.getrlimit(getattr(resource, name)) for name in LIMITS],
    "cores": sorted(os.sched_getaffinity(0)),
    "cached": sorted(glob.glob("/run/stepbridge/uv-cache/marker-*")),
    "marked": outcome(lambda: open("/run/stepbridge/uv-cache/" + MARKER, "w").write("x")),
    "user": os.getuid(),
    "shared": sorted(os.listdir("/run/stepbridge")) if os.path.isdir("/run/stepbridge") else [],
}
print("FACTS" + json.dumps(facts).encode().hex() + "END", file=sys.stderr, flush=True)
"""
BACKEND = """
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    exec(PROBE, {})
    raise SystemExit("enough")
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The program, which knows what to look for on this machine."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "secret").write_text(SECRET)
    home = Path.home()
    paths = [
        folder / "secret",
        Path(__file__),
        home / ".bashrc",
        home / ".aws",
        home / ".cache",
        "/etc/shadow",
        "/boot",
    ]
    values = {"HOST_PATHS": list(map(str, paths)), "ABSTRACT": f"\0{MARKER}", "LIMITS": LIMITS, "MARKER": MARKER}
    with (
        socket.create_server(("127.0.0.1", 0), backlog=16) as server,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        abstract.bind(f"\0{MARKER}")
        abstract.listen(16)
        values["PORT"] = server.getsockname()[1]
        yield "".join(f"{name} = {value!r}\n" for name, value in values.items()) + PROBE


@pytest.fixture(scope="module", autouse=True)
def secret_variable() -> Iterator[None]:
    """A variable of the environment of the local AWS."""
    os.environ["STEPBRIDGE_TEST_SECRET"] = SECRET
    yield
    del os.environ["STEPBRIDGE_TEST_SECRET"]


def facts_in(lines: list[str]) -> dict[str, Any]:
    found = re.search(r"FACTS([0-9a-f]+)END", re.sub(r"\s+", "", "".join(lines)))
    assert found, lines
    facts: dict[str, Any] = json.loads(bytes.fromhex(found[1]))
    return facts


def in_a_job(runtime: ProcessRuntime, image: BuiltImage, probe: str, folder: Path) -> dict[str, Any]:
    lines: list[str] = []
    spec = ContainerSpec("sandbox", image.image_id, folder, entrypoint=["python", "-c", probe])
    runtime.start(spec, lines.append).wait(60)
    return facts_in(lines)


def in_a_build(runtime: ProcessRuntime, image: BuiltImage, probe: str, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    lines: list[str] = []
    sandbox = runtime.command_sandbox
    sandbox.start([sandbox.python, "-c", probe], {"PATH": "/usr/bin:/bin"}, [], "/", lines.append).wait(60)
    return facts_in(lines)


def in_an_install(runtime: ProcessRuntime, image: BuiltImage, probe: str, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    files = {
        "Dockerfile": "FROM python:3-slim\nCOPY package /package\nRUN pip install /package\n",
        "package/pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        "[project]\nname = 'p'\nversion = '1'\n",
        "package/backend.py": f"PROBE = {probe!r}\n{BACKEND}",
    }
    lines: list[str] = []
    with pytest.raises(ImageBuildError):
        runtime.build(write_context(folder, files), "Dockerfile", {}, lines.append)
    return facts_in(lines)


KINDS = {"a job": in_a_job, "a build": in_a_build, "an install": in_an_install}


@pytest.fixture(scope="module")
def all_facts(
    runtime: ProcessRuntime, image: BuiltImage, probe: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    try:
        return {kind: ask(runtime, image, probe, tmp_path_factory.mktemp("ml")) for kind, ask in KINDS.items()}
    finally:
        (cache_folder(os.environ) / MARKER).unlink(missing_ok=True)


def forbidden(text: str) -> bool:
    return "Read-only file system" in text or "not permitted" in text or "denied" in text


# A row of the document, and what a program in the sandbox sees of it.
SENTENCES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "It sees only the files listed below. It does not see your home folder, the data folder or `/etc/shadow`":
        lambda facts: facts["paths"] == [] and facts["home"] == [],
    "It cannot change this machine's programs, libraries and Python":
        lambda facts: not Path("/usr/bin/new").exists() and forbidden(facts["python"]),
    "What it writes elsewhere is deleted when it ends":
        lambda facts: facts["own"] == "1" and not Path("/new").exists(),
    "It does not see the local AWS's environment variables, not even through `/proc`":
        lambda facts: SECRET not in facts["environments"] and "STEPBRIDGE_TEST_SECRET" not in facts["environment"],
    "It cannot see or signal other processes of this machine":
        lambda facts: facts["processes"] < 10,
    "Root inside has no power over the machine. It cannot change mounts, devices, the host name or kernel settings":
        lambda facts: all(map(forbidden, (facts["kernel"], facts["mount"], facts["device"], facts["hostname"]))),
    "Nothing inside can kill, stop or trace its first process":
        lambda facts: facts["killed"] == facts["stopped"] == "sent" and forbidden(facts["traced"]),
    "It uses this machine's network, including the loopback address. Services that listen there must guard themselves":
        lambda facts: facts["network"] == "None",
    "Root is its only user":
        lambda facts: facts["user"] == 0,
}  # fmt: skip


# The same for the list below the table.
TO_KNOW: dict[str, Callable[[dict[str, Any]], bool]] = {
    "Abstract sockets (without a path), such as those of an X server, belong to the network and can be reached.":
        lambda facts: facts["abstract"] == "None",
    "It is not a virtual machine.":
        lambda facts: facts["kernel_release"] == os.uname().release,
    "It uses this machine's kernel, so a kernel vulnerability is a vulnerability of the sandbox.":
        lambda facts: facts["kernel_release"] == os.uname().release,
    "Memory, CPU and disk are not limited.":
        lambda facts: facts["limits"] == [list(resource.getrlimit(getattr(resource, name))) for name in LIMITS]
        and facts["cores"] == sorted(os.sched_getaffinity(0)),
}  # fmt: skip
HERE = "integration/process_runtime/test_sandbox.py"
TO_KNOW_ELSEWHERE = {
    "Code in the sandbox can use the local AWS like any other client.":
        "contract/codebuild/test_sandbox.py::test_a_build_that_starts_a_build_gets_another_sandbox",
    "If it starts a build there, that build has its own sandbox: no operation runs anything outside a sandbox.":
        "contract/codebuild/test_sandbox.py::test_a_build_that_starts_a_build_gets_another_sandbox",
    "`docker` in a buildspec reads copies of the build's files, never paths of this machine.":
        "contract/codebuild/test_sandbox.py::test_docker_build_reads_the_files_of_the_sandbox",
    "With the Docker runtime it refuses options that reach out of a container "
    "(`--volume`, `--privileged`, `--secret` and the like).":
        "unit/docker_runtime/test_build_options.py::test_no_option_reaches_out_of_the_sandbox",
    "All builds of this user's local AWSs share the cache of packages (`stepbridge` in uv's cache folder).":
        f"{HERE}::test_the_cache_of_packages_is_shared_by_installs_alone",
    "The code of one package can change what the next build gets.":
        f"{HERE}::test_the_cache_of_packages_is_shared_by_installs_alone",
    "Your own uv and pip do not install from this cache.":
        f"{HERE}::test_the_cache_of_packages_is_shared_by_installs_alone",
}  # fmt: skip


def sentences_to_know() -> list[str]:
    """The sentences of the list below the table."""
    section = DOCUMENT.read_text().partition("\nWhat you should know:\n")[2].partition("\n## ")[0]
    points = [" ".join(point.split()) for point in section.split("\n- ")[1:]]
    return [sentence for point in points for sentence in re.split(r"(?<=\.) (?=[A-Z`])", point)]


def rows(heading: str) -> list[str]:
    """The first column of the table below a heading of the document."""
    section = DOCUMENT.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line.strip("| ").split(" |")[0] for line in section.splitlines() if line.startswith("| ")][1:]


ELSEWHERE = {
    "It can have 4,096 processes and threads at a time, or 128 per core if that is more. "
    "If it has more, everything in it is killed, and the failure says so",
    "If the system forbids namespaces, nothing runs outside a sandbox. "
    "The job or build fails at once, and the error names the setting and `--runtime docker`",
}  # test_too_many_processes_*, test_restricted_hosts.py::test_where_namespaces_are_forbidden_the_reason_comes_at_once


def test_every_sentence_of_the_document_is_checked() -> None:
    """A sentence that is added to the table needs a check here."""
    assert set(rows("What the sandbox is")) == set(SENTENCES) | ELSEWHERE


def test_every_sentence_of_the_list_is_checked() -> None:
    """The list "What you should know": each is checked here, or by a test that is named here and exists."""
    assert set(sentences_to_know()) == set(TO_KNOW) | set(TO_KNOW_ELSEWHERE)
    for place in TO_KNOW_ELSEWHERE.values():
        file, _, test = place.partition("::")
        assert f"def {test}(" in (Path(__file__).parents[2] / file).read_text(), place


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sentence", TO_KNOW, ids=lambda text: text[:40])
def test_what_one_should_know_is_so(all_facts: dict[str, dict[str, Any]], sentence: str, kind: str) -> None:
    """In a job, in a build's commands, and in the code of a package that RUN pip install builds."""
    assert TO_KNOW[sentence](all_facts[kind]), json.dumps(all_facts[kind], indent=1)


def test_the_cache_of_packages_is_shared_by_installs_alone(
    runtime: ProcessRuntime, image: BuiltImage, probe: str, tmp_path: Path
) -> None:
    """What a package's code writes there, a build of another local AWS finds; jobs and buildspecs see no cache.

    uv of this user has its own folders beside it.
    """
    cache = cache_folder(os.environ)
    own = subprocess.run([find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    assert (cache.parent, cache.name) == (Path(own), "stepbridge")
    other = ProcessRuntime(tmp_path / "images", tmp_path / "work")
    try:
        assert in_an_install(runtime, image, probe, tmp_path / "first")["marked"] == "1"
        assert (cache / MARKER).read_text() == "x"
        # Beside those of other test sessions of this user, at this moment.
        assert f"/run/stepbridge/uv-cache/{MARKER}" in in_an_install(other, image, probe, tmp_path / "second")["cached"]
    finally:
        other.close()
        (cache / MARKER).unlink(missing_ok=True)
    (tmp_path / "ml").mkdir()
    for ask in (in_a_job, in_a_build):
        facts = ask(runtime, image, probe, tmp_path / "ml")
        assert facts["cached"] == []
        assert facts["marked"] == os.strerror(errno.ENOENT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda text: text[:40])
def test_the_sentence_holds(all_facts: dict[str, dict[str, Any]], sentence: str, kind: str) -> None:
    """In a job, in a build's commands, and in the code of a package that RUN pip install builds."""
    assert SENTENCES[sentence](all_facts[kind]), json.dumps(all_facts[kind], indent=1)


def test_too_many_processes_end_it_with_a_reason(
    runtime: ProcessRuntime, image: BuiltImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are killed; the bound counts threads too. Here it is a small one."""
    for name, value in (("LEAST_MAX_PROCESSES", 60), ("MAX_PROCESSES_PER_CORE", 1)):
        monkeypatch.setattr(f"stepbridge_local.runtimes.process.sandbox.{name}", value)
    marker = f"marker-{uuid.uuid4().hex}"
    sleeping = f"import time; time.sleep(300) # {marker}"
    processes = (
        f"import subprocess, sys, time\nfor _ in range(200): subprocess.Popen([sys.executable, '-c', {sleeping!r}])"
    )
    threads = "import threading, time\nfor _ in range(200): threading.Thread(target=time.sleep, args=(300,)).start()"
    for code in (f"{processes}\ntime.sleep(300)", threads):
        spec = ContainerSpec("bomb", image.image_id, tmp_path, entrypoint=["python", "-c", code])
        end = runtime.start(spec, print).wait(60)
        assert end is not None
        assert end.exit_code == 137
        assert "they were more than 6" in (end.error or "")
        assert "start fewer at a time" in (end.error or "")
    assert running_with(marker) == []


@pytest.mark.long
@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True: os.fork()",
        "import subprocess, time\nsubprocess.run(['sh', '-c', 'f() { f | f & }; f'])\ntime.sleep(300)",
        "import os\ndef f():\n while True:\n  if os.fork() == 0: os.setsid()\nf()",
    ],
    ids=["fork", "shell", "sessions"],
)
def test_a_fork_bomb_ends_and_the_machine_goes_on(
    runtime: ProcessRuntime, image: BuiltImage, tmp_path: Path, code: str
) -> None:
    """With the bound as it is: within a minute, with the reason, and others can start processes meanwhile."""
    spec = ContainerSpec("bomb", image.image_id, tmp_path, entrypoint=["python", "-c", code])
    container = runtime.start(spec, lambda _: None)
    while container.wait(0.2) is None:
        os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", ""], {}), 0)
    end = container.wait(120)
    assert end is not None
    assert "all of its processes were killed" in (end.error or "")
