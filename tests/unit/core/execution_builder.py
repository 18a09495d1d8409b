"""Executions as boto3 returns them: one recorded from the local AWS, and short ones that a test builds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded" / "redriven_execution.json"
BEGIN = datetime(2013, 6, 2, 4, 30, tzinfo=UTC)
ARN = "arn:aws:states:us-east-1:123456789012:execution:batch-inference:run"
TIMES = frozenset({"timestamp", "startDate", "stopDate", "redriveDate"})


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def recorded() -> dict[str, Any]:
    """The recording, with its times as boto3 gives them."""
    found: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"), object_hook=_with_times)
    return found


def _with_times(found: dict[str, Any]) -> dict[str, Any]:
    return {
        key: datetime.fromisoformat(value)
        if isinstance(value, str) and (key in TIMES or key.endswith("Time"))
        else value
        for key, value in found.items()
    }


class ExecutionBuilder:
    """Builds a history, event by event; ``seconds`` count from the execution's start."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.add(0, "ExecutionStarted")

    def add(self, seconds: float, event_type: str, **details: Any) -> None:
        self.events.append({"id": len(self.events) + 1, "timestamp": at(seconds), "type": event_type, **details})

    def enter(self, seconds: float, state: str) -> ExecutionBuilder:
        self.add(seconds, "TaskStateEntered", stateEnteredEventDetails={"name": state})
        return self

    def schedule(self, seconds: float, job_name: str) -> ExecutionBuilder:
        request = {
            "ProcessingJobName": job_name,
            "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large"}},
        }
        self.add(seconds, "TaskScheduled", taskScheduledEventDetails={"parameters": json.dumps(request)})
        return self

    def submit(self, seconds: float, job_name: str) -> ExecutionBuilder:
        output = json.dumps({"ProcessingJobArn": job_arn(job_name)})
        self.add(seconds, "TaskSubmitted", taskSubmittedEventDetails={"output": output})
        return self

    def succeed(self, seconds: float, job_name: str) -> ExecutionBuilder:
        output = json.dumps({"ProcessingJobArn": job_arn(job_name), "ProcessingJobStatus": "Completed"})
        self.add(seconds, "TaskSucceeded", taskSucceededEventDetails={"output": output})
        return self

    def fail(
        self, seconds: float, error: str, cause: str | None = None, event_type: str = "TaskFailed"
    ) -> ExecutionBuilder:
        details = {"error": error, **({} if cause is None else {"cause": cause})}
        self.add(seconds, event_type, **{event_type[0].lower() + event_type[1:] + "EventDetails": details})
        return self

    def end(self, seconds: float, event_type: str) -> ExecutionBuilder:
        self.add(seconds, event_type)
        return self

    def job(self, job_name: str, status: str, start: float, end: float | None, **more: Any) -> ExecutionBuilder:
        self.jobs[job_name] = {
            "ProcessingJobName": job_name,
            "ProcessingJobArn": job_arn(job_name),
            "ProcessingJobStatus": status,
            "CreationTime": at(start),
            "ProcessingStartTime": at(start),
            **({} if end is None else {"ProcessingEndTime": at(end)}),
            "ProcessingResources": {"ClusterConfig": {"InstanceCount": 2, "InstanceType": "ml.c5.xlarge"}},
            **more,
        }
        return self

    def ran(self, start: float, end: float, state: str) -> ExecutionBuilder:
        """A stage that ran well."""
        name = f"sb-{state.lower()}"
        self.enter(start, state).schedule(start, name).submit(start, name).succeed(end, name)
        return self.job(name, "Completed", start, end)


def job_arn(name: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:123456789012:processing-job/{name}"


def execution(status: str, stop: float | None = None, **more: Any) -> dict[str, Any]:
    """DescribeExecution's answer."""
    return {
        "executionArn": ARN,
        "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:batch-inference",
        "name": "run",
        "status": status,
        "startDate": at(0),
        **({} if stop is None else {"stopDate": at(stop)}),
        "input": json.dumps({"output_uri": "s3://bucket/out/", "model": "flight_delay"}),
        **more,
    }
