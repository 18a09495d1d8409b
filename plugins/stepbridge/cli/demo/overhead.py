"""The overhead of the local AWS: an execution on an idle machine, compared with the same scripts run by hand.

During a DAG run Airflow starts the next task while a stage computes. On a small machine that costs seconds, which are
not the local AWS's. So the execution is run once more when Airflow is idle.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from stepbridge.aws.step_functions import StepFunctions
from stepbridge.cli.demo.scripts_by_hand import ByHandTimes
from stepbridge.core.run_report import RunReport, build_run_report
from stepbridge.core.statuses import execution_status
from stepbridge.errors import StepbridgeError

__all__ = ["Overhead", "OverheadError", "run_again"]

POLL_SECONDS = 0.1
TIMEOUT_SECONDS = 300.0


class OverheadError(StepbridgeError):
    """An execution that succeeded did not when it was run again."""


@dataclass(frozen=True)
class Overhead:
    """The seconds of each stage: in an execution on an idle machine, and by hand."""

    alone: RunReport
    by_hand: ByHandTimes

    def rows(self) -> Iterator[tuple[str, float, float]]:
        """Stage, seconds of its state in the execution, seconds by hand."""
        return self.by_hand.beside(self.alone)


def run_again(step_functions: StepFunctions, report: RunReport, output_uri: str) -> RunReport:
    """The report of a new execution with the input of ``report``, which writes to ``output_uri``. Waits for its end.

    Raises OverheadError when it does not succeed.
    """
    name = f"overhead-{uuid.uuid4().hex}"
    text = json.dumps({**report.input, "output_uri": output_uri})
    arn = step_functions.start(str(report.state_machine_arn), name, text)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not execution_status((execution := step_functions.describe(arn)).status).terminal:
        if time.monotonic() > deadline:
            raise OverheadError(arn, f"still {execution.status} after {TIMEOUT_SECONDS} s")
        time.sleep(POLL_SECONDS)
    again = build_run_report(execution.description, step_functions.history(arn), {})
    if again.status != "SUCCEEDED":
        raise OverheadError(arn, f"{again.status}: {again.error}: {again.cause}", "to succeed as the first one did")
    return again
