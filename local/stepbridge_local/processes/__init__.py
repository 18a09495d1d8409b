"""Processes that a program starts and that never outlive it, for those who run the local AWS beside other programs.

Linux only. Neither the local AWS itself nor anything of AWS is needed for it.
"""

from stepbridge_local.processes.postgres import start_postgres
from stepbridge_local.processes.tree import Child, ChildEndedError, ProcessTree, is_running, kill_tree

__all__ = ["Child", "ChildEndedError", "ProcessTree", "is_running", "kill_tree", "start_postgres"]
