"""How containers end, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from stepbridge_local.protocols import BuiltImage, ContainerExit, ContainerSpec
from stepbridge_local.runtimes.process import ProcessRuntime
from stepbridge_local.runtimes.process.container import ProcessContainer

from .conftest import Run, Start, gone, python, running_with


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 125", 125),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("kill -SEGV $$", 139),
    ],
)
def test_the_exit_code_is_the_commands(run: Start, command: str, code: int) -> None:
    """128 + n for an end by signal n."""
    assert run("/bin/sh", "-c", command).end() == ContainerExit(code)


def test_output_comes_line_by_line_in_order_and_whole(run: Start) -> None:
    """stdout and stderr as they were written; the last line needs no end."""
    code = "import os\nfor n in range(3000): os.write(1 + n % 2, b'line %d\\n' % n)\nos.write(1, b'\\xff end')"
    job = run(*python(code))
    assert job.end() == ContainerExit(0)
    assert job.lines == [f"line {number}" for number in range(3000)] + ["\ufffd end"]


@pytest.mark.parametrize(
    ("entrypoint", "part"),
    [
        (["no-such-program"], "there is no no-such-program on PATH (/opt/venv/bin:"),
        (["/opt/program/tool.sh"], "/opt/program/tool.sh is not executable"),
        (["/opt/program"], "not executable"),
        ([], "neither ENTRYPOINT nor CMD"),
    ],
)
def test_a_command_that_cannot_be_started_is_named(run: Start, entrypoint: list[str], part: str) -> None:
    """At once, and not as an exit code."""
    end = run(entrypoint=entrypoint).end(60)
    assert end.exit_code is None
    assert part in (end.error or "")


def test_an_image_or_a_folder_that_is_not_there_is_named(run: Start, tmp_path: Path) -> None:
    """Starting never raises for it."""
    end = run(image_id="sha256:" + "0" * 64).end()
    assert end.exit_code is None
    assert "is not on this machine; build it again" in (end.error or "")
    assert "missing does not exist" in (run(ml_folder=tmp_path / "missing").end().error or "")


def test_stop_gives_the_command_its_grace(run: Start) -> None:
    """SIGTERM reaches it, and its own exit code counts."""
    code = """
import os, signal, sys, time
# Not by print: the signal may come while the main program is in print.
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"stopping\\n"), sys.exit(9)))
print("ready", flush=True)
time.sleep(600)
"""
    job = run(*python(code))
    job.until("ready")
    job.container.stop(30)
    assert (job.end(60), job.lines) == (ContainerExit(9), ["ready", "stopping"])
    job.container.stop(30)  # of one that has ended: nothing happens
    assert job.end() == ContainerExit(9)


def test_after_the_grace_everything_in_it_is_killed(run: Start) -> None:
    """Also what ignores SIGTERM, and its children."""
    marker = f"marker-{uuid.uuid4().hex}"
    job = run("/bin/sh", "-c", f"trap '' TERM; (sleep 600; echo {marker}) & echo ready; while :; do sleep 0.05; done")
    job.until("ready")
    assert running_with(marker)
    started = time.monotonic()
    job.container.stop(0.5)
    assert job.end(60) == ContainerExit(137)
    assert 0.5 <= time.monotonic() - started < 60
    gone(marker)


def test_a_stop_before_the_command_has_started_is_not_lost(run: Start) -> None:
    """However early it comes."""
    for _ in range(5):
        job = run("sleep", "600")
        job.container.stop(20)
        assert job.end(60).exit_code == 143


def test_what_it_left_in_the_background_ends_with_it(run: Start, ml_folder: Path) -> None:
    """Its own session does not save it, nor that it has let go of the output."""
    marker = f"marker-{uuid.uuid4().hex}"
    daemon = f"import time\nwhile 1: open('/opt/ml/beat','w').write(str(time.time())); time.sleep(0.01) # {marker}"
    code = f"""
import os, subprocess, sys, time
null = subprocess.DEVNULL
subprocess.Popen([sys.executable, "-c", {daemon!r}], start_new_session=True, stdin=null, stdout=null, stderr=null)
while not os.path.exists("/opt/ml/beat"): time.sleep(0.01)
"""
    job = run(*python(code))
    assert job.end() == ContainerExit(0)
    assert running_with(marker) == []
    last = (ml_folder / "beat").read_text()
    time.sleep(0.1)
    assert (ml_folder / "beat").read_text() == last


def test_zombies_are_collected(run: Start) -> None:
    """An orphan that ended is gone from the process table."""
    code = """
import os, time
if os.fork() == 0:
    if os.fork() == 0: os._exit(0)
    os._exit(0)
os.wait()
deadline = time.time() + 5
while (n := sum(p.isdigit() for p in os.listdir("/proc"))) > 2 and time.time() < deadline: time.sleep(0.01)
print(n)
"""
    job = run(*python(code))
    assert (job.end(), job.lines) == (ContainerExit(0), ["2"])


def test_it_outlives_the_thread_that_started_it(run: Start) -> None:
    """The kernel's death signal follows threads; containers do not."""
    started: list[Run] = []
    thread = threading.Thread(target=lambda: started.append(run("/bin/sh", "-c", "sleep 0.5; echo done")))
    thread.start()
    thread.join()
    assert (started[0].end(), started[0].lines) == (ContainerExit(0), ["done"])


def test_it_ends_with_what_watches_over_it(run: Start) -> None:
    """kill -9 of the launcher alone leaves nothing either."""
    marker = f"marker-{uuid.uuid4().hex}"
    job = run("/bin/sh", "-c", f"echo ready; sleep 600; echo {marker}")
    job.until("ready")
    assert isinstance(job.container, ProcessContainer)
    os.kill(job.container.process_id, signal.SIGKILL)
    assert job.end(60) == ContainerExit(137)
    gone(marker)


def test_output_that_cannot_be_handed_on_ends_it(
    runtime: ProcessRuntime, image: BuiltImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is seen by the thread's hook, and nobody waits for ever."""
    seen: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: seen.append(arguments.exc_value))

    def refuse(line: str) -> None:
        raise RuntimeError(f"no room for {line}")

    entrypoint = ["/bin/sh", "-c", "while :; do echo x; done"]
    container = runtime.start(ContainerSpec("job", image.image_id, tmp_path, entrypoint=entrypoint), refuse)
    assert container.wait(20) == ContainerExit(None, "its output could not be handed on")
    assert isinstance(container, ProcessContainer)
    container.join()
    assert [str(error) for error in seen] == ["no room for x"]


def test_close_kills_all_and_leaves_no_folder(image: BuiltImage, runtime: ProcessRuntime, tmp_path: Path) -> None:
    """And nothing starts after it."""
    marker = f"marker-{uuid.uuid4().hex}"
    other = ProcessRuntime(runtime._store.folder, tmp_path / "work")
    spec = ContainerSpec("job", image.image_id, tmp_path, entrypoint=["/bin/sh", "-c", f"sleep 600; echo {marker}"])
    runs = [Run(other.start(spec, print)) for _ in range(3)]
    other.close()
    assert [run.end(0.1) for run in runs] == [ContainerExit(137)] * 3
    assert running_with(marker) == []
    assert list((tmp_path / "work").glob("session-*")) == []
    assert "stopping" in (Run(other.start(spec, print)).end().error or "")
    other.close()


def test_kill_9_of_the_program_leaves_nothing_behind(
    image: BuiltImage, runtime: ProcessRuntime, tmp_path: Path
) -> None:
    """No process, and after the next start no folder."""
    marker = f"marker-{uuid.uuid4().hex}"
    program = f"""
import os
import time
from pathlib import Path
from stepbridge_local.protocols import ContainerSpec
from stepbridge_local.runtimes.process import ProcessRuntime
runtime = ProcessRuntime(Path({str(runtime._store.folder)!r}), Path({str(tmp_path / "work")!r}))
entrypoint = ["/bin/sh", "-c", "trap '' TERM; (sleep 600; echo {marker}) & echo ready; sleep 600; echo {marker}"]
spec = ContainerSpec("job", {image.image_id!r}, Path({str(tmp_path)!r}), entrypoint)
for number in range(2):
    runtime.start(spec, lambda line: os.write(1, line.encode() + b"\\n"))  # print is no single write
time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        try:
            assert [child.stdout.readline(), child.stdout.readline()] == ["ready\n", "ready\n"]
            assert len(running_with(marker)) >= 4
        finally:  # else leaving the block would wait for it
            os.kill(child.pid, signal.SIGKILL)
    gone(marker)
    ProcessRuntime(runtime._store.folder, tmp_path / "work").close()
    assert list((tmp_path / "work").glob("session-*")) == []
