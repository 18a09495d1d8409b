"""The run report of an execution: gathered from Step Functions, SageMaker and S3, written beside the outputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stepbridge.aws.arns import S3Uri
from stepbridge.core.run_report.build import build_run_report
from stepbridge.core.run_report.cost import cost_of
from stepbridge.core.run_report.history import job_names
from stepbridge.core.run_report.model import Listing, ObjectReport, RunReport, StageReport
from stepbridge.core.run_report.objects import LISTED_OBJECTS, RowCounter, counts_rows, listing
from stepbridge.errors import AwsError

if TYPE_CHECKING:  # parsing a DAG file does not import boto3
    from stepbridge.aws.logs import CloudWatchLogs
    from stepbridge.aws.s3 import S3, S3Object
    from stepbridge.aws.sagemaker import SageMaker
    from stepbridge.aws.step_functions import Execution, StepFunctions

LAST_LINES: Final = 200  # a traceback may begin before the 50 that are shown
REPORT_FOLDER: Final = "_stepbridge/"
MOST_LISTED: Final = 5000
"""Objects of input and of output that are counted: 5 calls of ListObjectsV2 each."""
MOST_READ_BYTES: Final = 64 << 20
"""Bytes of output that are read to count rows, of all objects together."""
MOST_MODULES: Final = 5000
CLOCK_SKEW: Final = timedelta(seconds=5)


def gather_report(
    step_functions: StepFunctions, sagemaker: SageMaker, s3: S3, execution: Execution, prices: Mapping[str, float]
) -> tuple[RunReport, list[str]]:
    """The report of the execution, and a line for each part that could not be read and is None in it.

    ``prices`` is what an instance hour costs, by instance type; without any there is no cost. Raises ``AwsError`` when
    the history cannot be read.
    """
    history, gaps = step_functions.history(execution.arn), []
    jobs: dict[str, Mapping[str, Any]] = {}
    for name in job_names(history):
        try:
            jobs[name] = sagemaker.describe_job(name)
        except AwsError as error:
            gaps.append(f"the report has only the history's part of job {name}: {error}")
    report = build_run_report(execution.description, history, jobs)
    input_uri = report.input.get("input_uri")
    parts: dict[str, Callable[[], object]] = {
        "definition_revision": lambda: step_functions.revision_of(report.execution_arn) or None,
        "inputs": lambda: _listed(s3, input_uri, MOST_LISTED) if isinstance(input_uri, str) else None,
        "outputs": lambda: _output_listing(s3, report),
        "cost": lambda: cost_of(report, prices) if prices else None,
    }
    found: dict[str, object] = {}
    for part, read in parts.items():
        try:
            found[part] = read()
        except AwsError as error:
            gaps.append(f"the report has no {part}: {error}")
    return report.model_copy(update=found), gaps


def log_lines(logs: CloudWatchLogs, stages: Iterable[StageReport | None]) -> dict[str, list[str]]:
    """The last lines of the stages' jobs, by job name; a note in their place when they can't be read."""
    found = {}
    for name in [stage.job_name for stage in stages if stage and stage.job_name]:
        try:
            found[name] = logs.job_lines(name, LAST_LINES)
        except AwsError as error:
            found[name] = [f"(the log can't be read: {error})"]
    return found


def input_of(s3: S3, report: RunReport, stage: StageReport) -> Listing | None:
    """What lies below the stage's input, the output of the stage before it; None when that is not known."""
    before = report.stages[: report.stages.index(stage)]
    if not before or not before[-1].output_uri:
        return report.inputs
    try:
        return _listed(s3, before[-1].output_uri, LISTED_OBJECTS)
    except AwsError:
        return None


def project_modules(folders: Sequence[str]) -> list[str]:
    """The Python files of the projects with these container and scripts folders, without environments."""
    found: list[str] = []
    for root in {Path(folder).parent.parent for folder in folders}:
        for parent, names, files in os.walk(root):
            names[:] = [name for name in names if name[0] not in "._" and not Path(parent, name, "pyvenv.cfg").exists()]
            found += [str(Path(parent, name).relative_to(root)) for name in files if name.endswith(".py")]
            if len(found) > MOST_MODULES:
                break
    return sorted(found)


def write_report(s3: S3, report: RunReport) -> S3Uri | None:
    """Write the report below its output; the object's URI, or None if the execution's input has no output_uri."""
    if not report.output_uri:
        return None
    uri = S3Uri.parse(report.output_uri).child(f"{REPORT_FOLDER}{report.execution_name}.json")
    s3.write(uri, report.model_dump_json(indent=2).encode(), "application/json")
    return uri


def _listed(s3: S3, uri: str, most: int) -> Listing:
    """What lies below the URI, of which at most so many objects are counted."""
    found, complete = s3.objects(S3Uri.parse(uri), most)
    return listing(uri, [_object_report(each) for each in found], complete)


def _output_listing(s3: S3, report: RunReport) -> Listing | None:
    """What was written since the execution began; objects of earlier runs may lie below the same prefix.

    None for an execution that did not start or has no output_uri.
    """
    if not report.output_uri or report.started_at is None:
        return None
    folder = S3Uri.parse(report.output_uri).child("")
    found, complete = s3.objects(folder, MOST_LISTED)
    objects, bytes_left = [], MOST_READ_BYTES
    for each in found:
        if not _is_output(each, folder, report.started_at):
            continue
        rows = None
        if counts_rows(each.key) and each.size_bytes <= bytes_left:
            bytes_left -= each.size_bytes
            rows = _count_rows(s3, S3Uri(folder.bucket, each.key))
        objects.append(_object_report(each, rows))
    return listing(report.output_uri, objects, complete)


def _is_output(found: S3Object, folder: S3Uri, started_at: datetime) -> bool:
    """Not a report or a stage's intermediate data, not a folder's marker, not written before the execution."""
    name = found.key.removeprefix(folder.key)
    marks_folder = found.key.endswith("/") and not found.size_bytes
    return not name.startswith(REPORT_FOLDER) and not marks_folder and found.last_modified >= started_at - CLOCK_SKEW


def _count_rows(s3: S3, uri: S3Uri) -> int | None:
    counter = RowCounter(uri.key)
    for chunk in s3.read(uri):
        counter.add(chunk)
    return counter.rows


def _object_report(found: S3Object, rows: int | None = None) -> ObjectReport:
    return ObjectReport(key=found.key, bytes=found.size_bytes, etag=found.etag, rows=rows)
