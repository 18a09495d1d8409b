"""Lays out the private root of a container, and makes it the root of this process."""

# No pathlib: importing it takes longer than running all of this.
# ruff: noqa: PTH100, PTH101, PTH102, PTH103, PTH109, PTH110, PTH112, PTH114, PTH115, PTH118, PTH119, PTH120, PTH123, PTH211

from __future__ import annotations

import os

from .syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    StepError,
    bind,
    linux_version,
    mount,
    pivot_to_current_folder,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

MARGIN = 512  # the kernel's own limit is this much above the number of processes that ends a container
PID_MAX_BY_NAMESPACE = (6, 14)  # before this version, pid_max applies to the whole machine
ELOOP, EOPNOTSUPP = 40, 95
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
READ_ONLY_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")  # the same two lists as those of container engines
MASKED_PROC = ("acpi", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list")
REPLACEABLE = ("games", "local", "src")  # folders of /usr whose content on the host is not needed by system programs


def build_root(spec: dict[str, Any], in_user_namespace: bool) -> None:
    """Build the root in the job folder, as ``spec`` says, and change to it. Raises OSError."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    os.chdir(spec["job_folder"])
    os.mkdir("root")
    overlay = mount_image(spec, Overlay(in_user_namespace) if spec["overlay"] else None)
    os.chdir("root")
    for folder in spec["system_folders"]:
        mount_system_folder(folder, spec["rootfs"], overlay)
    for path, target in spec["links"].items():
        if not os.path.lexists(f".{path}"):
            make_parents(inside(path))
            os.symlink(target, f".{path}")
    for path, text in spec["files"].items():
        make_parents(inside(path))
        with open(inside(path), "w", encoding="utf-8") as stream:
            stream.write(text)
    for source, path, read_only in spec["binds"]:
        make_mount_point(source, inside(path))
        bind(source, inside(path), read_only)
    mount_proc(spec["max_processes"] + MARGIN)
    mount_devices()
    for path, mode in spec["folders"].items():
        os.makedirs(inside(path), exist_ok=True)
        os.chmod(inside(path), mode)
    pivot_to_current_folder()


def inside(path: str) -> str:
    """An absolute path of the new root, seen from the folder where it is being built.

    Before pivot_root, a link in the image would lead to the host's files, so the path must not contain links.
    """
    position = path.find("/", 1)
    while True:
        part = f".{path if position == -1 else path[:position]}"
        if os.path.islink(part):
            raise StepError(ELOOP, f"use {part[1:]}, which is a symbolic link in the image")
        if position == -1:
            return part
        position = path.find("/", position + 1)


def make_parents(path: str) -> None:
    """Make the folders above ``path``."""
    os.makedirs(os.path.dirname(path), exist_ok=True)


def make_mount_point(source: str, target: str) -> None:
    """Make an empty folder or file to mount ``source`` on."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        make_parents(target)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))


# --- the image --------------------------------------------------------------------------------------------------------
class Overlay:
    """Overlay mounts. Written files are in the current folder, or in memory if that is not possible."""

    def __init__(self, in_user_namespace: bool) -> None:
        self.options = ",userxattr" if in_user_namespace else ""
        self.count = 0
        self.scratch = ""
        self.folder = os.getcwd()

    def mount(self, layers: Sequence[str], target: str) -> None:
        """Mount ``layers``, the topmost first, on ``target``. Raises StepError where the system has no overlays."""
        self.count += 1
        target = os.path.abspath(target)
        back = os.getcwd()
        os.chdir(self.folder)
        try:
            # Short links instead of paths: the option string is limited to one page, and quoting differs by kernel.
            names = [f"layer{self.count}-{position}" for position in range(len(layers))]
            for name, layer in zip(names, layers, strict=True):
                os.symlink(layer, name)
            self._attempt(":".join(names), target)
        finally:
            os.chdir(back)

    def _attempt(self, lower: str, target: str) -> None:
        try:
            self._mount(lower, target)
        except StepError:
            if self.scratch:
                raise
            # A folder on an overlay, as in a container, cannot hold an upper layer. Memory can.
            os.mkdir("scratch")
            mount("tmpfs", "scratch", "tmpfs", MS_NOSUID | MS_NODEV)
            self.scratch = "scratch/"
            self._mount(lower, target)

    def _mount(self, lower: str, target: str) -> None:
        upper, work = f"{self.scratch}upper{self.count}", f"{self.scratch}work{self.count}"
        os.makedirs(upper, 0o755)
        os.makedirs(work, 0o755)
        options = f"lowerdir={lower},upperdir={upper},workdir={work}{self.options}"
        mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, options)


def mount_image(spec: dict[str, Any], overlay: Overlay | None) -> Overlay | None:
    """Mount the image on ``root``, and return the overlay; without overlays as a copy in memory, and return None."""
    environment = spec["environment_layer"]
    if overlay is not None:
        try:
            overlay.mount([spec["rootfs"], *([environment] if environment else [])], "root")
            return overlay
        except StepError:
            pass  # the kernel is too old: copy instead, which is as good except for what cover_system_folder refuses
    mount("tmpfs", "root", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    copy_tree(spec["rootfs"], "root", spec["system_folders"])
    if environment:
        os.makedirs("root/opt/venv", exist_ok=True)
        bind(f"{environment}/opt/venv", "root/opt/venv")
    return None


def copy_tree(source: str, target: str, left_out: Iterable[str] = ()) -> None:
    """Copy a tree of folders, files and links with their modes, without the folders ``left_out`` at its top."""
    for entry in os.scandir(source):
        path = os.path.join(target, entry.name)
        if f"/{entry.name}" in left_out:
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), path)
        elif entry.is_dir():
            os.makedirs(path, exist_ok=True)
            copy_tree(entry.path, path)
            os.chmod(path, entry.stat().st_mode & 0o7777)
        else:
            with open(entry.path, "rb") as read, open(path, "wb") as written:
                while os.sendfile(written.fileno(), read.fileno(), None, 1 << 24):
                    pass
            os.chmod(path, entry.stat().st_mode & 0o7777)


def mount_system_folder(folder: str, rootfs: str, overlay: Overlay | None) -> None:
    """Show one of the host's system folders, read-only, with the image's own files in it laid over."""
    os.makedirs(inside(folder), exist_ok=True)  # so there must be no link in the image either
    own = rootfs + folder
    if not os.path.isdir(own):
        bind(folder, inside(folder))
    elif overlay is not None:
        overlay.mount([own, folder], inside(folder))
    else:
        bind(folder, inside(folder))
        for entry in os.scandir(own):
            cover_system_folder(entry, os.path.join(folder, entry.name))


def cover_system_folder(entry: os.DirEntry[str], path: str) -> None:
    """Without overlays, a folder of the image replaces the host's folder, if system programs do not need that."""
    if not entry.is_dir() or not os.path.isdir(path) or os.path.basename(path) not in REPLACEABLE:
        raise StepError(EOPNOTSUPP, f"lay the image's {path} over the host's without overlay mounts")
    mount("tmpfs", inside(path), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    copy_tree(entry.path, inside(path))


# --- the kernel's file systems ----------------------------------------------------------------------------------------
def mount_proc(max_process_id: int) -> None:
    """Mount a /proc of this pid namespace, and cover the parts that affect the whole machine.

    If the namespace can have its own largest process id, this limits its processes and threads.
    """
    os.makedirs(inside("/proc"), exist_ok=True)
    try:
        mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except StepError:
        # An engine that hides parts of its /proc forbids a new one. The old one shows names, but no environments.
        mount("/proc", "proc", flags=MS_BIND | MS_REC)
        return
    if linux_version() >= PID_MAX_BY_NAMESPACE:
        with open("proc/sys/kernel/pid_max", "w", encoding="ascii") as stream:
            stream.write(str(max_process_id))
    for name in READ_ONLY_PROC:
        if os.path.exists(f"proc/{name}"):
            bind(f"proc/{name}", f"proc/{name}")
    for name in MASKED_PROC:
        path = f"proc/{name}"
        if os.path.isdir(path):
            mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
        elif os.path.exists(path):
            bind("/dev/null", path, read_only=False)


def mount_devices() -> None:
    """A /dev of the devices that every container has."""
    os.makedirs(inside("/dev"), exist_ok=True)
    mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=1m")
    for name in DEVICES:
        if os.path.exists(f"/dev/{name}"):
            make_mount_point(f"/dev/{name}", f"dev/{name}")
            mount(f"/dev/{name}", f"dev/{name}", flags=MS_BIND)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"dev/{name}")
    os.mkdir("dev/shm")
    mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
