"""Fault injection: faults that are set on purpose, and their effects. Pure except for locks and clocks.

``active_faults.FaultInjection`` holds the faults that are set; the services ask it. Independent of moto and HTTP.
"""

from typing import Final

__all__ = ["FAULTS_PATH"]

FAULTS_PATH: Final = "/_stepbridge/faults"
