"""The executions that ended before the local AWS was restarted."""

from __future__ import annotations

import threading

from stepbridge_local.persistence.records import Document
from stepbridge_local.services.stepfunctions.moto.executions import Execution, ExecutionServices

__all__ = ["RestoredExecutions"]


class RestoredExecutions:
    """One object per execution, because a redriven execution has state of its own. Thread safe."""

    def __init__(self, services: ExecutionServices) -> None:
        self._services = services
        self._executions: dict[str, Execution] = {}
        self._lock = threading.Lock()

    def find(self, execution_arn: str) -> Execution | None:
        """The execution; None if the records do not have the ARN."""
        record = self._services.records.find(execution_arn)
        return None if record is None else self._restore(record)

    def of_machine(self, state_machine_arn: str) -> list[Execution]:
        """The executions of a state machine, oldest first."""
        records = self._services.records.of_machine(state_machine_arn)
        return [self._restore(record) for record in sorted(records, key=lambda record: str(record["start_date"]))]

    def forget_machine(self, state_machine_arn: str) -> None:
        """Drop the executions of a state machine that was deleted, and their records."""
        with self._lock:
            self._executions = {
                arn: each for arn, each in self._executions.items() if each.state_machine_arn != state_machine_arn
            }
        self._services.records.forget_machine(state_machine_arn)

    def _restore(self, record: Document) -> Execution:
        with self._lock:
            if record["arn"] not in self._executions:
                self._executions[record["arn"]] = Execution.restored(record, self._services)
            return self._executions[record["arn"]]
