"""The buttons on a task's page that lead to its execution, its job's logs or its image build.

An operator pushes an address as soon as it knows it (``push``), so the button works while the task still waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

__all__ = ["BuildLink", "ExecutionLink", "JobLogsLink", "StepbridgeLink"]


class StepbridgeLink(BaseOperatorLink):
    """A link whose address the task pushed as an XCom."""

    @classmethod
    def push(cls, context: Context, address: str) -> None:
        """Keep ``address`` for the button."""
        context["ti"].xcom_push(key=cls().xcom_key, value=address)

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address; empty when the task has none (yet)."""
        _ = operator
        address = XCom.get_value(key=self.xcom_key, ti_key=ti_key)
        return address if isinstance(address, str) else ""


class ExecutionLink(StepbridgeLink):
    """The Step Functions execution."""

    @property
    def name(self) -> str:
        return "Execution"


class JobLogsLink(StepbridgeLink):
    """The log streams of the execution's last Processing job."""

    @property
    def name(self) -> str:
        return "Job logs"


class BuildLink(StepbridgeLink):
    """The CodeBuild build of the image."""

    @property
    def name(self) -> str:
        return "Image build"
