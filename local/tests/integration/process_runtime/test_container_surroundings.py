"""What a container sees and may do: an environment, files, processes and a network of its own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from stepbridge_local.protocols import ContainerExit

from .conftest import Start, python


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
