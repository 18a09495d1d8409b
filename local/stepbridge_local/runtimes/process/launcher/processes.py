"""The three processes of a container: the one that watches, the first of the pid namespace, and the command."""

# No pathlib or contextlib: importing them takes longer than running all of this.
# ruff: noqa: SIM105, PTH103, PTH110, PTH115, PTH116, PTH123, PTH208

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # signal itself, but for the names that need enum
import marshal
import os
import select
import sys
import time

from .root import MARGIN, build_root
from .syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    StepError,
    checked,
    die_with_parent,
    drop_privileges,
    forbid_tracing,
    limit_processes,
    set_hostname,
    unshare,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

EXIT_NOT_STARTED = 125  # the same three exit codes as `docker run`
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
ENOENT = 2
LENGTH_BYTES = 8
MOST_NAMES = 10  # at most so many new files are reported, so that they fit into the pipe
AWAITED_SIGNALS = (signal.SIGTERM, signal.SIGCHLD)
COUNTING_SECONDS = 0.1
OUT_OF_MEMORY_SCORE = "500"  # of 1000: when memory runs out, the container is killed and not the local AWS


TOO_MANY = "more processes than"


def main() -> NoReturn:
    """Read the specification, run it, and end with its exit code."""
    spec, command = read_specification()
    status = spec["status_fd"]
    os.set_inheritable(status, False)
    try:
        parent_death = os.pidfd_open(os.getppid())
        if os.getppid() != spec["parent_pid"]:  # it died before
            sys.exit(EXIT_NOT_STARTED)
        write_setting("/proc/self/oom_score_adj", OUT_OF_MEMORY_SCORE)
        in_user_namespace = enter_namespaces(spec["network_isolated"])
        own_death = os.pidfd_open(os.getpid())
        # Block them before the fork: the first process of a namespace loses signals that it does not handle yet.
        signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED_SIGNALS)
        child = os.fork()
    except OSError as error:
        report(status, error, "start")
        sys.exit(EXIT_NOT_STARTED)
    if child == 0:
        os.close(parent_death)
        os._exit(first_process(spec, status, own_death, in_user_namespace))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        # So that this process can count those inside, however many there are.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        pass  # only root may do this; for other users RLIMIT_NPROC is the limit
    os._exit(exit_code_of(watch(child, parent_death, command, status, spec["max_processes"])))


def read_specification() -> tuple[dict[str, Any], bytes]:
    """The specification at the beginning of the control pipe, and the bytes read after it."""
    collected = b""
    end = LENGTH_BYTES
    while len(collected) < end:
        block = os.read(0, 1 << 16)
        if not block:
            sys.exit(EXIT_NOT_STARTED)
        collected += block
        if len(collected) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(collected[:LENGTH_BYTES], "big")
    return marshal.loads(collected[LENGTH_BYTES:end]), collected[end:]


def write_setting(path: str, text: str) -> None:
    """Write to one of the kernel's files. If this fails, the error names the file."""
    try:
        with open(path, "w", encoding="ascii") as stream:
            stream.write(text)
    except OSError as error:
        raise StepError(error.errno, f"write {path}") from error


def enter_namespaces(network_isolated: bool) -> bool:
    """Unshare. Returns whether this needed a user namespace."""
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | (CLONE_NEWNET if network_isolated else 0)
    user, group = os.geteuid(), os.getegid()
    if user == 0 and unshare(flags) == 0:
        return False
    # Not root, or a root without CAP_SYS_ADMIN as in an unprivileged container.
    checked(unshare(flags | CLONE_NEWUSER), "unshare (user, mount and pid namespaces)")
    write_setting("/proc/self/setgroups", "deny")
    write_setting("/proc/self/uid_map", f"0 {user} 1")
    write_setting("/proc/self/gid_map", f"0 {group} 1")
    return True


def report(status: int, error: OSError, step: str) -> None:
    """Report why the command was not started."""
    number = error.errno or 0
    detail = os.strerror(number)
    if isinstance(error, StepError):
        step = error.strerror or step
    elif error.filename is not None:
        detail += f": {os.fsdecode(error.filename)}"
    os.write(status, os.fsencode(f"{step}\0{number}\0{detail}"))


def exit_code_of(code: int) -> int:
    """The exit code as a shell has it: 128 + n for the negative code of signal n."""
    return 128 - code if code < 0 else code


# --- outside ----------------------------------------------------------------------------------------------------------
def watch(child: int, parent_death: int, command: bytes, status: int, max_processes: int) -> int:
    """Wait for the namespace's first process, obey the control pipe, and kill everything when the parent is gone.

    ``command`` is what was already read from the control pipe. Nothing inside can reach this process. It counts the
    processes inside, and kills all of them if there are too many.
    """
    ended = os.pidfd_open(child)
    poller = select.poll()
    for descriptor in (0, parent_death, ended):
        poller.register(descriptor, select.POLLIN)
    deadline = None
    counting = True
    while True:
        if command:
            grace = float(command.split()[-1])  # of several requests, the last
            deadline = time.monotonic() + grace
            os.kill(child, signal.SIGTERM if grace > 0 else signal.SIGKILL)
        patience = COUNTING_SECONDS if counting else None
        if deadline is not None:
            patience = max(0.0, min(patience or deadline, deadline - time.monotonic()))
        ready = {descriptor for descriptor, _ in poller.poll(None if patience is None else patience * 1000)}
        if ended in ready:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if counting and count_tasks(child, max_processes) > max_processes:
            report(status, OSError(0, ""), f"{TOO_MANY} {max_processes}")
            os.kill(child, signal.SIGKILL)
            counting = False
        command = os.read(0, 4096) if 0 in ready else b""
        if command:
            continue
        if ready or (deadline is not None and time.monotonic() >= deadline):
            os.kill(child, signal.SIGKILL)
            for descriptor in ready:
                poller.unregister(descriptor)
            deadline = None


def count_tasks(first: int, enough: int) -> int:
    """The processes and threads of the namespace whose first process is ``first``, counted until they are ``enough``.

    This process shares the container's mounts. It has no entry in a /proc of that namespace, which shows nothing else;
    in the machine's own /proc, those of the namespace have to be told from others.
    """
    count = 0
    try:
        namespace = os.readlink(f"/proc/{first}/ns/pid") if os.path.exists("/proc/self") else None
        for name in os.listdir("/proc"):
            if count > enough:
                break
            if name.isdigit():
                count += tasks_of(name, namespace)
    except OSError:
        pass  # the root is being laid out, or taken apart
    return count


def tasks_of(process: str, namespace: str | None) -> int:
    """How many threads a process has; 0 for one that has ended, or that is in another pid namespace than this."""
    try:
        if namespace is not None and os.readlink(f"/proc/{process}/ns/pid") != namespace:
            return 0
        return os.stat(f"/proc/{process}/task").st_nlink - 2
    except OSError:
        return 0


# --- inside -----------------------------------------------------------------------------------------------------------
def first_process(spec: dict[str, Any], status: int, launcher_death: int, in_user_namespace: bool) -> int:
    """Be the first process of the namespace; return the exit code of the command."""
    try:
        die_with_parent()
        if select.select([launcher_death], [], [], 0)[0]:  # it died before that call
            return EXIT_NOT_STARTED
        os.close(launcher_death)
        redirect_to_null(0)
        os.umask(0o022)
        if spec["network_isolated"]:
            bring_up_loopback()
        set_hostname(spec["hostname"])
        build_root(spec, in_user_namespace)
        limit_processes(spec["max_processes"] + MARGIN)
        drop_privileges()
        forbid_tracing()
    except OSError as error:
        report(status, error, "set up")
        return EXIT_NOT_STARTED
    return run_and_reap(spec, status)


def redirect_to_null(*descriptors: int) -> None:
    """Let go of what the descriptors were."""
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


def bring_up_loopback() -> None:
    """``ip link set lo up``, in a network namespace that has nothing else."""
    import fcntl  # only isolated containers pay for these imports
    import socket
    import struct

    interface_up, set_interface_flags = 1, 0x8914  # IFF_UP, SIOCSIFFLAGS: netdevice(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, set_interface_flags, struct.pack("16sh14x", b"lo", interface_up))


def run_and_reap(spec: dict[str, Any], status: int) -> int:
    """Start the command, forward SIGTERM to it and collect every process that ends, until it does itself.

    After a command that succeeded, say what is new in its working folder.
    """
    before = names_in(spec["working_folder"])
    command = os.fork()
    if command == 0:
        become_command(spec, status)
    redirect_to_null(1, 2)
    while True:
        if signal.sigwait(AWAITED_SIGNALS) == signal.SIGTERM:
            os.kill(command, signal.SIGTERM)
            continue
        exit_code = reap(command)
        if exit_code is not None:
            if exit_code == 0:
                new = [name for name in names_in(spec["working_folder"]) if name not in before]
                os.write(status, os.fsencode("\0".join(["", *new[:MOST_NAMES]])))
            return exit_code


def names_in(folder: str) -> list[str]:
    """The names in a folder; none when it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def reap(command: int) -> int | None:
    """Collect every process that has ended; return the command's exit code once it is among them."""
    result = None
    while True:
        try:
            process, wait_status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return result
        if process == 0:
            return result
        if process == command:
            result = exit_code_of(os.waitstatus_to_exitcode(wait_status))


def become_command(spec: dict[str, Any], status: int) -> NoReturn:
    """Become the command, or report why that failed and end."""
    os.setsid()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and exec would hand on
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.makedirs(spec["working_folder"], exist_ok=True)
        os.chdir(spec["working_folder"])
        execute(spec["command"], spec["environment"])
    except OSError as error:
        report(status, error, f"run {spec['command'][0]}")
        os._exit(EXIT_NOT_FOUND if error.errno == ENOENT else EXIT_NOT_EXECUTABLE)


def execute(command: list[str], environment: dict[str, str]) -> NoReturn:
    """execvpe, whose own module would import another one, which the new root need not have. Raises OSError."""
    name = command[0]
    folders = environment.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":")
    failure: OSError = FileNotFoundError(ENOENT, os.strerror(ENOENT))
    for candidate in [name] if "/" in name else [f"{folder or '.'}/{name}" for folder in folders]:
        try:
            os.execve(candidate, command, environment)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            failure = error
    raise failure
