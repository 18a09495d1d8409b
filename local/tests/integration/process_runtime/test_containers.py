"""Running containers: what they see, how they end, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from stepbridge_local.protocols import BuiltImage, ContainerExit, ContainerSpec
from stepbridge_local.runtimes.process import ProcessRuntime
from stepbridge_local.runtimes.process.container import ProcessContainer
from stepbridge_local.runtimes.process.containers import RunningContainers
from stepbridge_local.runtimes.process.sandbox import host_layout, launch_spec

from .conftest import Run, gone, running_with, write_context

Start = Callable[..., Run]


def python(code: str) -> tuple[str, str, str]:
    return ("python", "-c", code)


# --- what it sees -----------------------------------------------------------------------------------------------------
def test_the_environment_is_the_images_and_the_jobs_and_nothing_of_the_machines(
    run: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No credentials, no paths."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "host-secret")
    job = run(*python("import os\nfor pair in sorted(os.environ.items()): print(pair)"), environment={"GREETING": "x"})
    assert job.end() == ContainerExit(0)
    names = [line.split("'")[1] for line in job.lines]
    assert names == ["GREETING", "HOME", "HOSTNAME", "LANG", "PATH", "PYTHON_VERSION"]
    assert job.lines[0] == "('GREETING', 'x')"
    every = run("/bin/sh", "-c", "cat /proc/*/environ | tr '\\0' '\\n'")
    assert every.end() == ContainerExit(0)
    assert "host-secret" not in "\n".join(every.lines)


def test_its_end_says_what_is_new_in_the_working_folder(run: Start) -> None:
    """After a command that succeeded; at most ten names, and none that was there before."""
    made = run("/bin/sh", "-c", "pwd; ls; touch b.csv; mkdir a; touch a/c").end()
    assert made is not None
    assert list(made.left_behind) == ["a", "b.csv"]
    assert made.working_folder
    many = run("/bin/sh", "-c", "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do touch $n; done").end()
    assert many is not None
    assert len(many.left_behind) == 10
    failed = run("/bin/sh", "-c", "touch b.csv; exit 3").end()
    assert failed == ContainerExit(3)


def test_the_machines_files_are_not_there(run: Start, tmp_path: Path) -> None:
    """Neither its home, nor this repository, nor its /tmp, nor its processes."""
    secret = tmp_path / "secret"
    secret.write_text("host")
    home = Path.home()
    paths = [
        str(secret),
        "/root/.aws",
        "/root/.ssh",
        str(home / ".bashrc"),
        str(Path(__file__)),
        "/etc/shadow",
        "/boot",
    ]
    job = run(*python(f"import os; print([p for p in {paths!r} if os.path.lexists(p)])\nprint(os.listdir('/tmp'))"))
    assert (job.end(), job.lines) == (ContainerExit(0), ["[]", "[]"])
    processes = run("/bin/sh", "-c", "ls -d /proc/[0-9]* | wc -l")
    assert processes.end() == ContainerExit(0)
    assert int(processes.lines[0]) < 6
    home_of_job = run("/bin/sh", "-c", "cd; pwd; find . -xdev -type f | wc -l")
    assert (home_of_job.end(), home_of_job.lines) == (ContainerExit(0), ["/root", "0"])


def test_it_writes_where_it_likes_and_changes_neither_image_nor_machine(run: Start, ml_folder: Path) -> None:
    """/opt/ml is its own; all else is gone with it."""
    code = """
import os, sys, colorama
image, package = "/opt/program/program.py", colorama.__file__
for path in ["/opt/ml/out", "/tmp/x", "/root/x", "/etc/motd", "/new", "/dev/shm/x", image, package]:
    open(path, "w").write("changed")
print(os.listdir("/tmp"), os.path.getsize(image))
"""
    first = run(*python(code))
    assert (first.end(), first.lines) == (ContainerExit(0), ["['x'] 7"])
    assert (ml_folder / "out").read_text() == "changed"
    assert not Path("/new").exists()
    second = run()
    assert (second.end(), second.lines) == (ContainerExit(0), ["['from-cmd'] colorama hello world"])


@pytest.mark.parametrize(
    "code",
    [
        "open('/proc/sys/kernel/core_pattern', 'w')",
        "open('/proc/sys/vm/drop_caches', 'w')",
        "import os; os.mknod('/tmp/disk', 0o60600, os.makedev(8, 0))",
        "import os, sys; os.unlink(sys.base_prefix + '/lib/python%d.%d/os.py' % sys.version_info[:2])",
        "import socket; socket.sethostname('x')",
        "import ctypes, os; l = ctypes.CDLL(None, use_errno=True); "
        "r = l.mount(b'none', b'/tmp', b'tmpfs', 0, None); assert r == 0, os.strerror(ctypes.get_errno())",
        "import ctypes, os; l = ctypes.CDLL(None, use_errno=True); "
        "r = l.mount(None, b'/proc/sys', None, 32 | 4096, None); assert r == 0, os.strerror(ctypes.get_errno())",
    ],
)
def test_it_has_no_power_over_the_machine(run: Start, code: str) -> None:
    """Not as root either: no devices, no mounts, no settings of the kernel, no writing to the machine's Python."""
    job = run(*python(code))
    assert job.end() == ContainerExit(1)
    assert "Read-only file system" in job.lines[-1] or "not permitted" in job.lines[-1] or "denied" in job.lines[-1]


def test_devices_temporary_memory_and_name_resolution_are_there(run: Start) -> None:
    """What programs expect of any system."""
    code = """
import multiprocessing, os, pwd, socket, ssl, tempfile
multiprocessing.Lock(); tempfile.TemporaryFile(); os.urandom(4); open("/dev/null", "w").write("x")
print(pwd.getpwuid(os.getuid()).pw_dir, socket.gethostbyname("localhost"), socket.gethostname())
print(socket.gethostbyname(socket.gethostname()), os.cpu_count() > 0, ssl.create_default_context() is not None)
import time; print(time.tzname[0], oct(os.umask(0)))
"""
    job = run(*python(code), name="model_x.1")
    assert (job.end(), job.lines) == (
        ContainerExit(0),
        ["/root 127.0.0.1 model-x-1", "127.0.0.1 True True", "UTC 0o22"],
    )


def test_a_host_name_and_the_names_of_other_hosts(run: Start) -> None:
    """As several instances of one job see each other."""
    code = "import socket as s; print(s.gethostname(), *map(s.gethostbyname, ['algo-1', 'algo-2', 'localhost']))"
    job = run(*python(code), hostname="algo-2", hosts={"algo-1": "127.0.0.1", "algo-2": "127.0.0.2"})
    assert (job.end(), job.lines) == (ContainerExit(0), ["algo-2 127.0.0.1 127.0.0.2 127.0.0.1"])


def test_network_isolation(run: Start) -> None:
    """An isolated container reaches itself only, any other also what the machine reaches."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"""
import socket
own = socket.create_server(("127.0.0.1", 0))
socket.create_connection(own.getsockname(), 5)
print("itself", flush=True)
socket.create_connection(("127.0.0.1", {port}), 5); print("the machine")
"""
        isolated = run(*python(code), network_isolated=True)
        assert (isolated.end(), isolated.lines[0]) == (ContainerExit(1), "itself")
        assert "ConnectionRefusedError" in isolated.lines[-1]
        connected = run(*python(code))
        assert (connected.end(), connected.lines) == (ContainerExit(0), ["itself", "the machine"])


def test_several_at_the_same_time_each_with_its_own_folder(run: Start, tmp_path: Path) -> None:
    """They all run before any ends."""
    code = """
import os, time
open("/opt/ml/mine", "w").write(os.environ["N"])
print("ready", flush=True)
while not os.path.exists("/opt/ml/go"): time.sleep(0.01)
print(open("/opt/ml/mine").read(), os.listdir("/tmp"))
"""
    folders = [tmp_path / f"ml-{number}" for number in range(6)]
    for folder in folders:
        folder.mkdir()
    jobs = [
        run(*python(code), name=f"job-{number}", ml_folder=folder, environment={"N": str(number)})
        for number, folder in enumerate(folders)
    ]
    for job in jobs:
        job.until("ready")
    for folder in folders:
        (folder / "go").touch()
    assert [job.end() for job in jobs] == [ContainerExit(0)] * 6
    assert [job.lines[1] for job in jobs] == [f"{number} []" for number in range(6)]


# --- how it ends ------------------------------------------------------------------------------------------------------
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
    end = run(entrypoint=entrypoint).end(10)
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
    assert (job.end(10), job.lines) == (ContainerExit(9), ["ready", "stopping"])
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
    assert job.end(20) == ContainerExit(137)
    assert 0.5 <= time.monotonic() - started < 10
    gone(marker)


def test_a_stop_before_the_command_has_started_is_not_lost(run: Start) -> None:
    """However early it comes."""
    for _ in range(5):
        job = run("sleep", "600")
        job.container.stop(20)
        assert job.end(15).exit_code == 143


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
    assert job.end(10) == ContainerExit(137)
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
import time
from pathlib import Path
from stepbridge_local.protocols import ContainerSpec
from stepbridge_local.runtimes.process import ProcessRuntime
runtime = ProcessRuntime(Path({str(runtime._store.folder)!r}), Path({str(tmp_path / "work")!r}))
entrypoint = ["/bin/sh", "-c", "trap '' TERM; (sleep 600; echo {marker}) & echo ready; sleep 600; echo {marker}"]
spec = ContainerSpec("job", {image.image_id!r}, Path({str(tmp_path)!r}), entrypoint)
for number in range(2):
    runtime.start(spec, lambda line: print(line, flush=True))
time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        assert [child.stdout.readline(), child.stdout.readline()] == ["ready\n", "ready\n"]
        assert len(running_with(marker)) >= 4
        os.kill(child.pid, signal.SIGKILL)
    gone(marker)
    ProcessRuntime(runtime._store.folder, tmp_path / "work").close()
    assert list((tmp_path / "work").glob("session-*")) == []


# --- other systems ----------------------------------------------------------------------------------------------------
def test_without_overlay_mounts_the_image_is_copied(runtime: ProcessRuntime, image: BuiltImage, tmp_path: Path) -> None:
    """As on kernels before 5.11 without root: all but the packages can still be written to."""
    stored = runtime._store.image(image.image_id)
    assert stored is not None
    layer = runtime._store.layer(stored.layer_key)
    assert layer is not None
    containers = RunningContainers(tmp_path / "work")
    code = (
        "open('program.py', 'a').write('#'); import colorama; open('/usr/src/app/program.py'); print(colorama.__file__)"
    )
    lines: list[str] = []
    spec = launch_spec(
        host_layout(),
        job_folder=containers.new_folder("job"),
        rootfs=stored.rootfs,
        environment_layer=layer.tree,
        python_prefix=stored.python.prefix,
        command=["/usr/local/bin/python", "-c", code],
        environment=dict(stored.config.env),
        working_folder="/opt/program",
        name="job",
        overlay=False,
    )
    end = containers.launch(spec, lines.append).wait(30)
    assert (end, lines[0].startswith("/opt/venv/")) == (ContainerExit(0), True), lines
    containers.close()


def test_an_image_cannot_lead_the_set_up_out_of_its_root(runtime: ProcessRuntime, tmp_path: Path) -> None:
    """A link in the image where the set-up writes is refused, and nothing of the machine is written to."""
    victim = tmp_path / "victim"
    victim.mkdir()
    context = write_context(tmp_path / "c", {"Dockerfile": "FROM python\nCOPY tree /\nCMD true"})
    (context / "tree").mkdir()
    (context / "tree/etc").symlink_to(victim)
    image = runtime.build(context, "Dockerfile", {}, print)
    end = Run(runtime.start(ContainerSpec("job", image.image_id, tmp_path), print)).end()
    assert "use /etc, which is a symbolic link in the image" in (end.error or "")
    assert list(victim.iterdir()) == []


def test_where_namespaces_are_forbidden_the_reason_comes_at_once(
    image: BuiltImage, runtime: ProcessRuntime, tmp_path: Path
) -> None:
    """With the setting that forbids them, and what to do."""
    program = f"""
from pathlib import Path
from stepbridge_local.protocols import ContainerSpec
from stepbridge_local.runtimes.process import ProcessRuntime
runtime = ProcessRuntime(Path({str(runtime._store.folder)!r}), Path({str(tmp_path / "work")!r}))
print(runtime.start(ContainerSpec("job", {image.image_id!r}, Path({str(tmp_path)!r})), print).wait(20))
runtime.close()
"""
    # A user namespace whose own limit of user namespaces is 0, and in it a process without capabilities.
    forbidding = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", f'{forbidding} "$@"', "sh", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert "ContainerExit(exit_code=None" in done.stdout, done.stderr
    assert "/proc/sys/user/max_user_namespaces is 0" in done.stdout
    assert "sysctl user.max_user_namespaces=" in done.stdout
    assert "--runtime docker" in done.stdout
