"""The system calls that Python 3.11 does not have, with errors that name the step. Linux only."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
RLIMIT_NPROC = 6
LIMITED_BY_NAMESPACE = (5, 14)  # before this version, RLIMIT_NPROC counts all processes of the user
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 1, 2
ATIME_FLAGS = 0x1C00  # ST_NOATIME, ST_NODIRATIME and ST_RELATIME as MS_ flags
SYS_MOUNT_SETATTR = 442  # the same number on every architecture
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217, "armv7l": 218}
SIGKILL = 9
ENOSYS = 38

# The capabilities that a command keeps: those over its own files, processes and ids. See capabilities(7): chown,
# dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service.
KEPT_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 10)
MOST_CAPABILITIES = 64
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]


class StepError(OSError):
    """A step of the set-up failed: ``strerror`` names it."""


def checked(result: int, step: str) -> None:
    """Raise StepError for ``step`` if a libc call returned -1."""
    if result == -1:
        raise StepError(ctypes.get_errno(), step)


def unshare(flags: int) -> int:
    """unshare(2): 0 or -1."""
    result: int = libc.unshare(flags)
    return result


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    """mount(2)."""

    def encoded(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    result = libc.mount(encoded(source), encoded(target), encoded(kind), flags, encoded(options))
    checked(result, f"mount {kind or source} on {target}")


def bind(source: str, target: str, read_only: bool = True) -> None:
    """Show ``source`` at ``target``, which exists, with all that is mounted below it."""
    mount(source, target, flags=MS_BIND | MS_REC)
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_NOSUID | (MOUNT_ATTR_RDONLY if read_only else 0), 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    arguments = (AT_FDCWD, os.fsencode(target), AT_RECURSIVE, ctypes.byref(attributes), size)
    if libc.syscall(ctypes.c_long(SYS_MOUNT_SETATTR), *arguments) == 0:
        return
    # Before Linux 5.12: a remount, which must repeat the flags it inherited (they are locked in a user namespace).
    inherited = os.statvfs(target).f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | ATIME_FLAGS)
    mount(None, target, flags=MS_REMOUNT | MS_BIND | MS_NOSUID | inherited | (MS_RDONLY if read_only else 0))


def pivot_to_current_folder() -> None:
    """Make the current folder, which is a mount, the root, and unmount the old root."""
    machine = os.uname().machine
    if machine not in SYS_PIVOT_ROOT:
        raise StepError(ENOSYS, f"pivot_root on {machine}")
    # See pivot_root(2): with the same path twice the old root lies on top of the new one, until it is unmounted.
    checked(libc.syscall(ctypes.c_long(SYS_PIVOT_ROOT[machine]), b".", b"."), "pivot_root")
    checked(libc.umount2(b".", MNT_DETACH), "unmount the old root")
    os.chdir("/")


def set_hostname(name: str) -> None:
    """sethostname(2)."""
    encoded = os.fsencode(name)
    checked(libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), "sethostname")


def die_with_parent() -> None:
    """Be killed when the thread that forked this process ends."""
    checked(libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(SIGKILL), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def linux_version() -> tuple[int, ...]:
    """The first two numbers of the kernel's release."""
    return tuple(int(digits) for digits in os.uname().release.split("-")[0].split(".")[:2])


def limit_processes(count: int) -> None:
    """Let this user namespace have no more processes and threads than ``count``; no bound for the machine's root."""
    if linux_version() < LIMITED_BY_NAMESPACE:
        return
    limits = (ctypes.c_ulong * 2)()
    checked(libc.getrlimit(RLIMIT_NPROC, limits), "getrlimit(RLIMIT_NPROC)")
    limits[0] = limits[1] = min(count, limits[1])
    checked(libc.setrlimit(RLIMIT_NPROC, limits), "setrlimit(RLIMIT_NPROC)")


def forbid_tracing() -> None:
    """Prevent ptrace(2) on this process by others in the container. Programs that it starts can be traced."""
    checked(libc.prctl(PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def drop_privileges() -> None:
    """Keep only what KEPT_CAPABILITIES lists, now and after any exec."""
    for capability in range(MOST_CAPABILITIES):
        if capability not in KEPT_CAPABILITIES:
            libc.prctl(
                PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0
            )  # fails past the last that the kernel knows
    kept = sum(1 << capability for capability in KEPT_CAPABILITIES)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)  # of this process
    sets = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)  # effective, permitted, inheritable; then the high halves
    checked(libc.capset(header, sets), "capset")
    checked(libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
