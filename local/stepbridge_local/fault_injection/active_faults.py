"""The faults that are set, and their effects on a request, a job or an execution.

A local AWS has one ``FaultInjection``. Reading takes no lock: what every request needs (``on_requests``,
``enforces_iam``) is an attribute, which is None or False while nothing is set.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from stepbridge_local.fault_injection.chance import Chance
from stepbridge_local.fault_injection.execution_time import REAL_TIME, ClockSetting, Pace
from stepbridge_local.fault_injection.faults import (
    ClockFault,
    ConnectionFault,
    ErrorFault,
    Fault,
    IamFault,
    InstanceLimitFault,
    JobFailureFault,
    LatencyFault,
    SlowStartFault,
    ThrottlingFault,
)
from stepbridge_local.fault_injection.jobs import JobFaults
from stepbridge_local.fault_injection.requests import RequestFaults
from stepbridge_local.fault_injection.token_bucket import Buckets

__all__ = ["FaultInjection"]

# There can be only one fault of each of these types, whatever its name.
_SINGLE: Final = (ThrottlingFault, ClockFault, IamFault)
_WITH_CHANCE: Final = (ErrorFault, ConnectionFault, LatencyFault, JobFailureFault, SlowStartFault)


@dataclass(frozen=True)
class _Active:
    fault: Fault
    chance: Chance


class FaultInjection:
    """The faults by name. ``set``, ``clear`` and ``listing`` are for the admin API, the rest is for the services."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._changing = threading.Lock()
        self._active: dict[str, _Active] = {}
        self.pace = Pace()
        self.enforces_iam = False
        self.throttled_in_step_functions = ThrottlingFault().step_functions_error
        self.on_requests: RequestFaults | None = None
        self.on_jobs = JobFaults((), ())

    # --- the admin API ------------------------------------------------------------------------------------------------
    def set(self, faults: Sequence[Fault], replacing: bool = False) -> None:
        """Add these faults, or set only these if ``replacing``.

        A new fault replaces one of the same name, and one of its type if there can be only one.
        """
        with self._changing:
            if replacing:
                self._active.clear()
            for fault in faults:
                for name in [name for name, active in self._active.items() if _is_replaced(active.fault, fault)]:
                    del self._active[name]
                self._active[fault.key] = _Active(fault, _chance(fault))
            self._take_effect()

    def clear(self, name: str | None = None) -> bool:
        """Remove the fault of that name, or all; False if there is none of that name."""
        with self._changing:
            if name is None:
                self._active.clear()
            elif self._active.pop(name, None) is None:
                return False
            self._take_effect()
            return True

    def listing(self) -> list[dict[str, Any]]:
        """The faults in the order in which they were set, with how many candidates each had and how many it hit."""
        with self._changing:
            active = dict(self._active)
        return [{**one.fault.model_dump(mode="json"), "name": name, **_counts(one)} for name, one in active.items()]

    # --- the services -------------------------------------------------------------------------------------------------
    def job_speed(self) -> float:
        """How fast the maximum runtime of jobs passes."""
        return self.pace.setting.speed if self.pace.setting.jobs else 1.0

    def _take_effect(self) -> None:
        """Apply what is set. The counters of faults that stay are kept."""
        active = list(self._active.values())
        throttling = next((one.fault for one in active if isinstance(one.fault, ThrottlingFault)), None)
        rules = [
            (one.fault, one.chance)
            for one in active
            if isinstance(one.fault, ErrorFault | ConnectionFault | LatencyFault)
        ]
        self.throttled_in_step_functions = (throttling or ThrottlingFault()).step_functions_error
        previous = self.on_requests
        if throttling is None and not rules:
            self.on_requests = None
        else:
            kept = previous is not None and previous.throttling == throttling
            buckets = previous.buckets if previous is not None and kept else Buckets(self._clock)
            self.on_requests = RequestFaults(throttling, rules, buckets)
        self.on_jobs = JobFaults(
            [(one.fault, one.chance) for one in active if isinstance(one.fault, JobFailureFault | SlowStartFault)],
            [one.fault for one in active if isinstance(one.fault, InstanceLimitFault)],
        )
        self.enforces_iam = any(isinstance(one.fault, IamFault) for one in active)
        clock = next((one.fault for one in active if isinstance(one.fault, ClockFault)), None)
        setting = REAL_TIME if clock is None else ClockSetting(clock.speed, clock.jobs)
        if setting != self.pace.setting:
            self.pace.change(setting)


def _is_replaced(present: Fault, new: Fault) -> bool:
    return present.key == new.key or (isinstance(new, _SINGLE) and type(present) is type(new))


def _chance(fault: Fault) -> Chance:
    if isinstance(fault, _WITH_CHANCE):
        return Chance(fault.rate, fault.times, fault.seed)
    return Chance()


def _counts(active: _Active) -> Mapping[str, int]:
    if not isinstance(active.fault, _WITH_CHANCE):
        return {}
    return {"candidates": active.chance.candidates, "struck": active.chance.strikes}
