"""What the run report knows beyond the execution itself: the objects it read and wrote, its definition, its cost.

None of it decides whether the run succeeded, but for an output that is not there: what can't be found out is told in
the log and is None in the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from airflow.sdk.exceptions import AirflowFailException

from stepbridge.aws.arns import S3Uri
from stepbridge.core.run_report import (
    CostReport,
    Listing,
    ObjectReport,
    PricesError,
    RowCounter,
    RunReport,
    cost_of,
    counts_rows,
    listing,
)
from stepbridge.errors import AwsError, StepbridgeError
from stepbridge.hooks.prices import configured_prices

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from stepbridge.aws.s3 import S3, S3Object
    from stepbridge.hooks.stepbridge import StepbridgeHook

__all__ = ["EmptyOutputError", "Facts"]

REPORT_FOLDER: Final = "_stepbridge/"
LOOKED_AT: Final = 5000
"""Objects of input and of output that are counted: 5 calls of ListObjectsV2 each."""
COUNTED_BYTES: Final = 64 << 20
"""Bytes of output that are read to count rows, of all objects together."""
CLOCKS_APART: Final = timedelta(seconds=5)


class EmptyOutputError(StepbridgeError, AirflowFailException):
    """The execution succeeded and wrote nothing. Airflow does not retry it: it would be the same again."""


class Facts:
    """Finds out what can be found out about executions that have ended."""

    def __init__(self, hook: StepbridgeHook, log: Logger, prices: Mapping[str, float] | None = None) -> None:
        self._hook = hook
        self._log = log
        self._prices = prices

    def added_to(self, report: RunReport) -> RunReport:
        """The report with what was found. ``prices`` go before the Airflow Variable ``stepbridge_prices``."""
        facts = {
            "definition_revision": self._revision(report),
            "inputs": self._inputs(report),
            "outputs": self._outputs(report),
            "cost": self._cost(report),
        }
        return report.model_copy(update=facts)

    def _revision(self, report: RunReport) -> str | None:
        try:
            return self._hook.step_functions.revision_of(report.execution_arn) or None
        except AwsError as fault:
            self._log.info("the report does not know the definition's revision: %s", fault)
            return None

    def _inputs(self, report: RunReport) -> Listing | None:
        uri = report.input.get("input_uri")
        if not isinstance(uri, str):
            return None
        try:
            found, complete = self._hook.s3.objects(S3Uri.parse(uri), LOOKED_AT)
        except AwsError as fault:
            self._log.info("the report does not list the input: %s", fault)
            return None
        return listing(uri, [_reported(each) for each in found], complete)

    def _outputs(self, report: RunReport) -> Listing | None:
        """What was written since the execution began; objects of earlier runs may lie below the same prefix."""
        if not report.output_uri or report.started_at is None:
            return None
        place = S3Uri.parse(report.output_uri)
        folder = S3Uri(place.bucket, place.child("").key)
        try:
            found, complete = self._hook.s3.objects(folder, LOOKED_AT)
            written = [each for each in found if _is_output(each, folder, report.started_at)]
            counted = _Rows(self._hook.s3, place.bucket)
            objects = [_reported(each, counted.of(each)) for each in written]
        except AwsError as fault:
            self._log.info("the report does not list the output: %s", fault)
            return None
        return listing(report.output_uri, objects, complete)

    def _cost(self, report: RunReport) -> CostReport | None:
        try:
            prices = self._prices or configured_prices()
        except PricesError as fault:
            self._log.error("the report has no cost: %s", fault)
            return None
        return cost_of(report, prices) if prices else None


class _Rows:
    """Counts rows until ``COUNTED_BYTES`` are read."""

    def __init__(self, s3: S3, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._bytes_left = COUNTED_BYTES

    def of(self, found: S3Object) -> int | None:
        if not counts_rows(found.key) or found.size_bytes > self._bytes_left:
            return None
        self._bytes_left -= found.size_bytes
        counter = RowCounter(found.key)
        for chunk in self._s3.read(S3Uri(self._bucket, found.key)):
            counter.add(chunk)
        return counter.rows


def _is_output(found: S3Object, folder: S3Uri, started_at: datetime) -> bool:
    """Neither a report or a stage's intermediate data, nor a folder's mark, nor written before the execution."""
    name = found.key.removeprefix(folder.key)
    marks_folder = found.key.endswith("/") and not found.size_bytes
    return not name.startswith(REPORT_FOLDER) and not marks_folder and found.last_modified >= started_at - CLOCKS_APART


def _reported(found: S3Object, rows: int | None = None) -> ObjectReport:
    return ObjectReport(key=found.key, bytes=found.size_bytes, etag=found.etag, rows=rows)
