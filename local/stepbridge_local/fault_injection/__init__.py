"""Fault injection: what goes wrong in the local AWS because somebody asked for it. Pure but for locks and clocks.

``active_faults.FaultInjection`` holds the faults that are set; the services ask it. Nothing here knows moto or HTTP.
"""

from typing import Final

__all__ = ["FAULTS_PATH"]

FAULTS_PATH: Final = "/_stepbridge/faults"
