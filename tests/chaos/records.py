"""What the local AWS says was done for each run, read after the storm and without a fault set."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from stepbridge.core.deployment import Deployment

__all__ = ["Records", "RunRecord", "read_records"]


@dataclass
class RunRecord:
    """One run: its executions by ARN with their status, and the statuses of its jobs by stage."""

    executions: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    result: str | None = None

    def completed(self, stage: str) -> int:
        return self.jobs[stage].count("Completed")


@dataclass
class Records:
    """The records of all runs by run id, and what is left over that belongs to none."""

    runs: dict[str, RunRecord]
    running_executions: list[str]
    unfinished_jobs: list[str]


def read_records(clients: dict[str, Any], deployment: Deployment, run_ids: list[str]) -> Records:
    """Every execution, job and result below ``out/<run id>/``."""
    records = Records({run_id: RunRecord() for run_id in run_ids}, [], [])
    _read_executions(clients["stepfunctions"], deployment.state_machine_arn, records)
    _read_jobs(clients["sagemaker"], records)
    _read_results(clients["s3"], deployment.bucket, records)
    return records


def _run_of(uri: str) -> str:
    """The run id in ``s3://bucket/out/<run id>/...``."""
    return uri.split("/")[4]


def _read_executions(machines: Any, state_machine: str, records: Records) -> None:
    for page in machines.get_paginator("list_executions").paginate(stateMachineArn=state_machine):
        for item in page["executions"]:
            described = machines.describe_execution(executionArn=item["executionArn"])
            run = _run_of(json.loads(described["input"])["output_uri"])
            records.runs[run].executions[item["executionArn"]] = described["status"]
            if described["status"] == "RUNNING":
                records.running_executions.append(item["executionArn"])


def _read_jobs(sagemaker: Any, records: Records) -> None:
    for page in sagemaker.get_paginator("list_processing_jobs").paginate():
        for item in page["ProcessingJobSummaries"]:
            name, status = item["ProcessingJobName"], item["ProcessingJobStatus"]
            job = sagemaker.describe_processing_job(ProcessingJobName=name)
            [output] = job["ProcessingOutputConfig"]["Outputs"]
            stage = job["AppSpecification"]["ContainerEntrypoint"][-1].rpartition("/")[2].removesuffix(".py")
            records.runs[_run_of(output["S3Output"]["S3Uri"])].jobs[stage].append(status)
            if status in ("InProgress", "Stopping"):
                records.unfinished_jobs.append(name)


def _read_results(s3: Any, bucket: str, records: Records) -> None:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="out/"):
        for item in page.get("Contents", []):
            _, run, *rest = item["Key"].split("/")
            if rest == ["day.txt"]:
                records.runs[run].result = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode()
