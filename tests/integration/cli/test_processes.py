"""Nothing that a ProcessTree started outlives it, however it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stepbridge.cli.local_site.processes import ChildEndedError, ProcessTree, process_start_ticks

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
from stepbridge.cli.local_site.processes import ProcessTree
folder = pathlib.Path(sys.argv[1])
with ProcessTree(folder) as tree:
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
    while process_start_ticks(pid) is not None:
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


def test_leaving_ends_grandchildren_that_ignore_sigterm_in_their_own_session(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        "import sys, os, pathlib\n"
        "from stepbridge.cli.local_site.processes import ProcessTree\n"
        "import time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "with ProcessTree(folder) as tree:\n"
        f"    tree.start('daemon', [sys.executable, '-c', {STUBBORN!r}, {str(pids)!r}], dict(os.environ), folder)\n"
        f"    while not os.path.exists({str(pids)!r}): time.sleep(0.02)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    for pid in pids.read_text().split():
        assert process_start_ticks(int(pid)) is None


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
