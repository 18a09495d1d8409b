"""A real local AWS for tests, and clients for it.

moto's state belongs to its process, so every local AWS runs in a separate process. ``LocalAwsProcess`` starts one with
the command. ``run_in_child`` runs a function that starts one itself, to access its objects. Both fork from one process
that has imported everything, so a start takes a few hundredths of a second.
"""

from __future__ import annotations

from stepbridge_local.testing.fork_server import run_in_child, start_child
from stepbridge_local.testing.processes import ACCOUNT, REGION, LocalAwsProcess, client_of

__all__ = ["ACCOUNT", "REGION", "LocalAwsProcess", "client_of", "run_in_child", "start_child"]
