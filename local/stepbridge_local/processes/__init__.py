"""Child processes that never outlive the program that starts them, for running the local AWS beside other programs.

Linux only. This does not need the local AWS or anything of AWS.
"""

from stepbridge_local.processes.postgres import start_postgres
from stepbridge_local.processes.tree import Child, ChildEndedError, ProcessTree, is_running, kill_tree

__all__ = ["Child", "ChildEndedError", "ProcessTree", "is_running", "kill_tree", "start_postgres"]
