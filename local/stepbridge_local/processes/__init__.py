"""Child processes that never outlive the program that starts them, for running the local AWS beside other programs.

Linux only. This does not need the local AWS or anything of AWS.
"""

from stepbridge_local.persistence.disk import DiskFullError, has_room, requiring_room
from stepbridge_local.processes.background import (
    BackgroundError,
    free_port,
    in_background,
    lock_file,
    lock_owner,
    start_in_background,
    stop_in_background,
    unwind_on_end_signals,
)
from stepbridge_local.processes.postgres import start_postgres
from stepbridge_local.processes.tree import Child, ChildEndedError, ProcessTree, is_running, kill_tree

__all__ = [
    "BackgroundError",
    "Child",
    "ChildEndedError",
    "DiskFullError",
    "ProcessTree",
    "free_port",
    "has_room",
    "in_background",
    "is_running",
    "kill_tree",
    "lock_file",
    "lock_owner",
    "requiring_room",
    "start_in_background",
    "start_postgres",
    "stop_in_background",
    "unwind_on_end_signals",
]
