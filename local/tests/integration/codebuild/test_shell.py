"""The shell of a build: a real one, in a real sandbox."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from stepbridge_local.protocols import Container, SharedFolder
from stepbridge_local.runtimes.process.build_sandbox import BuildSandbox
from stepbridge_local.runtimes.process.containers import RunningContainers
from stepbridge_local.services.codebuild.shell import CONTROL, BuildShell, SandboxError, ShellStoppedError


class Console(BuildShell):
    """A shell in ``folder``, seen as /src, that keeps what it writes."""

    def __init__(self, folder: Path, shell: str = "/bin/sh") -> None:
        self.lines: list[str] = []
        self.sandbox = BuildSandbox(RunningContainers(folder / "work"))
        control = folder / "control"
        source = folder / "src"
        control.mkdir()
        source.mkdir()
        folders = (SharedFolder(source, "/src", False), SharedFolder(control, CONTROL, True))
        environment = {"PATH": "/usr/bin:/bin", "A": "1"}

        def start(command: Sequence[str], on_line: Callable[[str], None]) -> Container:
            return self.sandbox.start(command, environment, folders, "/src", on_line)

        super().__init__(shell, start, control, self.lines.append)

    def close(self) -> None:
        super().close()
        self.sandbox.close()


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    console = Console(tmp_path)
    yield console
    console.close()


def is_running(marker: str) -> bool:
    """Whether a process of this machine has the marker in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended just now
            if marker.encode() in path.read_bytes():
                return True
    return False


def within_seconds(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_commands_share_the_shell(tmp_path: Path, shell: str) -> None:
    """Unexported variables and the folder carry over; exit statuses come back; output keeps its lines."""
    console = Console(tmp_path, shell)
    assert [console.run(command) for command in ("x=2", "mkdir d && cd d", "false", "(exit 42)")] == [0, 0, 1, 42]
    assert console.run("echo $A $x; pwd; printf end; echo err >&2") == 0
    assert console.lines == ["1 2", "/src/d", "enderr"]
    assert console.variable("x") == "2"
    assert console.variable("nothing") is None
    assert (tmp_path / "src" / "d").is_dir()
    console.close()


def test_an_exit_gives_a_new_shell(console: Console) -> None:
    """exit has its status, and what follows begins anew, in the first folder."""
    assert console.run("x=2; cd /; exit 5") == 5
    assert console.run("echo [$x] $PWD") == 0
    assert console.run("kill -9 $$") == 137
    assert console.run("echo again") == 0
    assert console.lines == ["[] /src", "again"]


def test_bytes_that_are_no_text_are_kept_readable(console: Console) -> None:
    """Output in another encoding does not end the build."""
    assert console.run(r"printf '\377\n'") == 0
    assert console.lines == ["\ufffd"]


def test_standard_input_is_empty(console: Console) -> None:
    """A command that reads its input does not eat the commands after it."""
    assert console.run("cat") == 0
    assert console.run("echo next") == 0
    assert console.lines == ["next"]


def test_stop_kills_the_command_and_its_children(console: Console) -> None:
    """Whatever the command started is gone, and run says that it was stopped."""
    marker = f"marker-{uuid.uuid4().hex}"
    threading.Timer(0.5, console.stop).start()
    started = time.monotonic()
    with pytest.raises(ShellStoppedError):
        console.run(f"sh -c 'trap \"\" TERM; sleep 100; sleep 100; echo {marker}' & wait")
    assert time.monotonic() - started < 20
    assert within_seconds(lambda: not is_running(marker))
    with pytest.raises(ShellStoppedError):
        console.run("echo never")


def test_close_ends_what_was_left_running(tmp_path: Path) -> None:
    """A process in the background does not outlive the build, not in a session of its own either."""
    console = Console(tmp_path)
    marker = f"marker-{uuid.uuid4().hex}"
    console.run(f"setsid sh -c 'sleep 100; echo {marker}' >/dev/null 2>&1 & echo started")
    assert within_seconds(lambda: is_running(marker))
    console.close()
    assert within_seconds(lambda: not is_running(marker))


def test_a_build_cannot_change_what_it_is_told(console: Console) -> None:
    """Neither the commands to come nor their folder: the local AWS writes there."""
    assert console.run(f"ln -s /etc/motd {CONTROL}/command-2.sh") != 0
    assert console.run(f"echo x > {CONTROL}/command-1.sh") != 0
    assert console.run("echo ok") == 0
    assert console.lines[-1] == "ok"


def test_the_end_of_the_sandbox_is_said_and_the_next_command_has_a_new_one(console: Console) -> None:
    """Its first process and the keeper of the shell can be ended from inside, by their own build."""
    with pytest.raises(SandboxError) as caught:
        console.run("kill -9 $PPID; sleep 100")
    assert "the build's sandbox: it ended by itself" in str(caught.value)
    assert console.run("echo next") == 0
    assert console.lines == ["next"]
