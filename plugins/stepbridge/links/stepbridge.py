"""The buttons on a task's page that lead to its execution, its job's logs, its objects or its image build.

An operator pushes an address as soon as it knows it (``push``), so the button works while the task still waits. When a
task ends or defers, Airflow calls ``get_link`` and overwrites what was pushed. So the operator keeps the address too:
reading a missing XCom would put an error line into the log of every task without an address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow.sdk import BaseOperator, BaseOperatorLink, Context

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

_ADDRESSES: Final = "_stepbridge_addresses"  # the operator's attribute: addresses by XCom key


class StepbridgeLink(BaseOperatorLink):
    """A link whose address the task pushed as an XCom in this process."""

    @classmethod
    def push(cls, context: Context, address: str) -> None:
        """Keep ``address`` for the button."""
        key = cls().xcom_key
        context["ti"].xcom_push(key=key, value=address)
        vars(context["task"]).setdefault(_ADDRESSES, {})[key] = address

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  Airflow's signature
        """The address; empty when the task has none."""
        return str(vars(operator).get(_ADDRESSES, {}).get(self.xcom_key, ""))


class ExecutionLink(StepbridgeLink):
    """The Step Functions execution."""

    name = "Execution"


class JobLogsLink(StepbridgeLink):
    """The log streams of the execution's last Processing job."""

    name = "Job logs"


class ObjectsLink(StepbridgeLink):
    """The objects in S3: the scripts that the task uploaded, or the input that it waits for."""

    name = "S3 objects"


class BuildLink(StepbridgeLink):
    """The CodeBuild build of the image."""

    name = "Image build"
