"""The shell of a build: a real one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from stepbridge_local.services.codebuild.shell import BuildShell, ShellStoppedError


class Console(BuildShell):
    """A shell in ``folder`` that keeps what it writes."""

    def __init__(self, folder: Path, shell: str = "/bin/sh") -> None:
        self.lines: list[str] = []
        scratch = folder / "scratch"
        scratch.mkdir()
        super().__init__(shell, folder, {"PATH": "/usr/bin:/bin", "A": "1"}, scratch, self.lines.append)


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_commands_share_the_shell(tmp_path: Path, shell: str) -> None:
    """Unexported variables and the folder carry over; exit statuses come back; output keeps its lines."""
    console = Console(tmp_path, shell)
    assert [console.run(command) for command in ("x=2", "mkdir d && cd d", "false", "(exit 42)")] == [0, 0, 1, 42]
    assert console.run("echo $A $x; pwd; printf end; echo err >&2") == 0
    assert console.lines == ["1 2", str(tmp_path / "d"), "enderr"]
    assert console.variable("x") == "2"
    assert console.variable("nothing") is None
    console.close()


def test_an_exit_gives_a_new_shell(tmp_path: Path) -> None:
    """exit has its status, and what follows begins anew."""
    console = Console(tmp_path)
    assert console.run("x=2; exit 5") == 5
    assert console.run("echo [$x]") == 0
    assert console.run("kill -9 $$") == 137
    assert console.lines == ["[]"]
    console.close()


def test_bytes_that_are_no_text_are_kept_readable(tmp_path: Path) -> None:
    """Output in another encoding does not end the build."""
    console = Console(tmp_path)
    assert console.run(r"printf '\377\n'") == 0
    assert console.lines == ["\ufffd"]
    console.close()


def test_standard_input_is_empty(tmp_path: Path) -> None:
    """A command that reads its input does not eat the commands after it."""
    console = Console(tmp_path)
    assert console.run("cat") == 0
    assert console.run("echo next") == 0
    assert console.lines == ["next"]
    console.close()


def test_stop_kills_the_command_and_its_children(tmp_path: Path) -> None:
    """Whatever the command started is gone, and run says that it was stopped."""
    console = Console(tmp_path)
    pid_file = tmp_path / "pid"
    threading.Timer(0.5, console.stop).start()
    started = time.monotonic()
    with pytest.raises(ShellStoppedError):
        console.run(f"sh -c 'echo $$ > {pid_file}; trap \"\" TERM; sleep 100; sleep 100' & wait")
    assert time.monotonic() - started < 10
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(ShellStoppedError):
        console.run("echo never")
    console.close()


def test_close_ends_what_was_left_running(tmp_path: Path) -> None:
    """A process in the background does not outlive the build."""
    console = Console(tmp_path)
    console.run("sleep 100 & echo $!")
    console.close()
    pid = int(console.lines[0])
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
