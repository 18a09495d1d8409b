"""Nothing that a ProcessTree started outlives it, however it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stepbridge_local.persistence import disk
from stepbridge_local.processes import DiskFullError, lock_file, lock_owner
from stepbridge_local.processes.tree import (
    MOST_RESTARTS,
    ChildEndedError,
    ProcessTree,
    is_running,
    kill_tree,
)

# Forks a grandchild into a session of its own that ignores SIGTERM, as a daemon would, and writes both ids.
STUBBORN = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(sys.argv[1] + ".new", "w").write(f"{os.getppid()} {os.getpid()}")
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(600)
time.sleep(600)
"""

KEEPER = """
import pathlib, sys, time, os
from stepbridge_local.processes.tree import ProcessTree
folder = pathlib.Path(sys.argv[1])
with ProcessTree(folder, guarded="guarded" in sys.argv) as tree:
    print(os.getpid(), flush=True)
    tree.start("sleeper", [sys.executable, "-c", "import os,time; print(os.getpid(), flush=True); time.sleep(600)"],
               dict(os.environ), folder)
    time.sleep(600)
"""


def wait_for_text(file: Path) -> str:
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text().strip()):
        assert time.monotonic() < deadline, f"{file} stayed empty"
        time.sleep(0.02)
    return file.read_text()


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


def test_leaving_ends_grandchildren_that_ignore_sigterm_in_their_own_session(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        "import sys, os, pathlib\n"
        "from stepbridge_local.processes.tree import ProcessTree\n"
        "import time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "with ProcessTree(folder) as tree:\n"
        f"    tree.start('daemon', [sys.executable, '-c', {STUBBORN!r}, {str(pids)!r}], dict(os.environ), folder)\n"
        f"    while not os.path.exists({str(pids)!r}): time.sleep(0.02)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
    for pid in pids.read_text().split():
        assert not is_running(int(pid))


def test_a_killed_keeper_takes_its_children_with_it(tmp_path: Path) -> None:
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER, str(tmp_path)])
    sleeper = int(wait_for_text(tmp_path / "sleeper.log"))
    os.kill(keeper.pid, signal.SIGKILL)
    keeper.wait()
    wait_until_gone(sleeper)


def test_a_child_that_ends_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    with ProcessTree(tmp_path) as tree:
        child = tree.start("broken", [sys.executable, "-c", "print('no database'); raise SystemExit(4)"], {}, tmp_path)
        child.process.wait()
        with pytest.raises(ChildEndedError) as caught:
            tree.check()
    assert "broken: ended with exit code 4" in str(caught.value)
    assert "no database" in str(caught.value)


def test_run_waits_for_a_program_that_ends_by_itself(tmp_path: Path) -> None:
    with ProcessTree(tmp_path) as tree:
        tree.run("touch", [sys.executable, "-c", "open('made', 'w')"], {}, tmp_path)
        assert (tmp_path / "made").exists()
        with pytest.raises(ChildEndedError, match="exit code 2"):
            tree.run("fails", [sys.executable, "-c", "raise SystemExit(2)"], {}, tmp_path)


def test_children_from_before_are_left_alone(tmp_path: Path) -> None:
    earlier = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        with ProcessTree(tmp_path) as tree:
            tree.start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], {}, tmp_path)
        assert earlier.poll() is None
    finally:
        earlier.kill()
        earlier.wait()


# Starts STUBBORN, whose grandchild ignores SIGTERM, in a guarded tree.
GUARDED = f"""
import os, pathlib, sys, time
from stepbridge_local.processes.tree import ProcessTree
folder = pathlib.Path(sys.argv[1])
with ProcessTree(folder, guarded=True) as tree:
    print(os.getpid(), tree.pid, flush=True)
    tree.start("daemon", [sys.executable, "-c", {STUBBORN!r}, str(folder / "pids")], dict(os.environ), folder)
    time.sleep(600)
"""


@pytest.mark.parametrize("victim", ["program", "guard"])
def test_a_killed_program_takes_even_the_stubborn_with_it_under_a_guard(tmp_path: Path, victim: str) -> None:
    """Whichever of the two is killed with SIGKILL, the other ends what was started."""
    guard = subprocess.Popen([sys.executable, "-c", GUARDED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert guard.stdout is not None
    program, told = map(int, guard.stdout.readline().split())
    pids = [int(pid) for pid in wait_for_text(tmp_path / "pids").split()]
    assert told == guard.pid
    os.kill({"program": program, "guard": guard.pid}[victim], signal.SIGKILL)
    assert guard.wait(30) == {"program": 128 + signal.SIGKILL, "guard": -signal.SIGKILL}[victim]
    wait_until_gone(program)
    for pid in pids if victim == "program" else pids[:1]:
        wait_until_gone(pid)


def test_a_guarded_program_ends_as_it_would_without_its_guard(tmp_path: Path) -> None:
    """SIGTERM reaches it, and its exit code is the guard's."""
    script = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n" + KEEPER
    guard = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), "guarded"])
    sleeper = int(wait_for_text(tmp_path / "sleeper.log"))
    guard.terminate()
    assert guard.wait(30) == 7
    wait_until_gone(sleeper)


def test_leaving_does_not_wait_for_the_lock_of_an_interrupted_poll(tmp_path: Path) -> None:
    """A signal's exception between the lock's taking and its ``try`` leaves it taken: seen once in 200 stops."""
    with ProcessTree(tmp_path) as tree:
        child = tree.start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], {}, tmp_path)
        lock = child.process._waitpid_lock  # type: ignore[attr-defined]
        assert lock.acquire(blocking=False)
    assert not is_running(child.process.pid)
    lock.release()
    assert child.process.wait(1) == -signal.SIGTERM


def test_a_tree_that_does_not_end_can_be_killed(tmp_path: Path) -> None:
    """The guard, its program and what ignores SIGTERM below it: what `stepbridge down` does when nothing else helps."""
    script = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + GUARDED
    guard = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert guard.stdout is not None
    program = int(guard.stdout.readline().split()[0])
    pids = [int(pid) for pid in wait_for_text(tmp_path / "pids").split()]
    assert kill_tree(guard.pid, 60) == []
    guard.wait(30)
    assert not any(map(is_running, (program, *pids)))


def test_what_ends_is_started_again_without_its_orphans(tmp_path: Path) -> None:
    """A line says so; the log goes on in the same file; what the dead one had started is gone."""
    lines: list[str] = []
    pids = tmp_path / "pids"
    script = "print('hello', flush=True)\n" + STUBBORN
    with ProcessTree(tmp_path) as tree:
        child = tree.start("daemon", [sys.executable, "-c", script, str(pids)], dict(os.environ), tmp_path)
        first, orphan = map(int, wait_for_text(pids).split())
        pids.unlink()
        os.kill(first, signal.SIGKILL)
        child.process.wait()
        tree.revive(lines.append)
        assert not is_running(orphan)
        second = int(wait_for_text(pids).split()[0])
        assert child.process.pid == second != first
    assert lines == [
        f"daemon ended with exit code -9; started again (1 of at most {MOST_RESTARTS} times in 10 minutes); "
        f"see {tmp_path / 'daemon.log'}"
    ]
    assert (tmp_path / "daemon.log").read_text().count("hello") == 2


def test_what_ends_again_and_again_is_given_up(tmp_path: Path) -> None:
    """With its exit code and last lines."""
    lines: list[str] = []
    with ProcessTree(tmp_path) as tree:
        child = tree.start("broken", [sys.executable, "-c", "raise SystemExit('no database')"], {}, tmp_path)
        for _ in range(MOST_RESTARTS):
            child.process.wait()
            tree.revive(lines.append)
        child.process.wait()
        with pytest.raises(ChildEndedError, match=r"broken: ended with exit code 1[\s\S]*no database"):
            tree.revive(lines.append)
    assert len(lines) == MOST_RESTARTS


def test_what_ends_on_a_full_disk_is_started_again_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said once; the waiting counts as no restart."""
    lines: list[str] = []
    with ProcessTree(tmp_path) as tree:
        child = tree.start("broken", [sys.executable, "-c", "raise SystemExit(1)"], {}, tmp_path)
        child.process.wait()
        with monkeypatch.context() as patch:
            patch.setattr(disk, "RESERVED_BYTES", 1 << 62)  # no disk has so much
            for _ in range(MOST_RESTARTS + 1):
                tree.revive(lines.append)
        assert lines == [
            f"broken ended; the disk of {tmp_path} is full, so it is started again when there is room",
        ]
        tree.revive(lines.append)
        assert "started again (1 of" in lines[1]


def test_a_block_that_fails_for_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its own error is raised; a folder that is yet to be made is on its parent's disk."""
    folder = tmp_path / "state" / "to be made"
    with pytest.raises(ValueError, match="its own"), disk.requiring_room(folder):
        raise ValueError("its own")

    def fill_the_disk() -> None:
        monkeypatch.setattr(disk, "RESERVED_BYTES", 1 << 62)
        raise ValueError("no child runs")

    with pytest.raises(DiskFullError, match=f"{folder}: .*; what is stored there is sound"):  # noqa: SIM117
        with disk.requiring_room(folder):
            fill_the_disk()


def test_a_lock_names_its_owner_and_is_never_half_written(tmp_path: Path) -> None:
    """Also over a longer name that an earlier version left."""
    file = tmp_path / "lock"
    file.write_text("9999999")
    assert lock_owner(file) is None
    with lock_file(file):
        assert lock_owner(file) == os.getpid()
    assert lock_owner(file) is None
