"""The objects that an execution read and wrote, with the rows of the tables among its outputs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from stepbridge.aws.arns import S3Uri
from stepbridge.core.run_report import Listing, ObjectReport, RowCounter, RunReport, counts_rows, listing

if TYPE_CHECKING:  # parsing a DAG file does not import boto3
    from stepbridge.aws.s3 import S3, S3Object

__all__ = ["REPORT_FOLDER", "list_input", "list_output"]

REPORT_FOLDER: Final = "_stepbridge/"
MOST_LISTED: Final = 5000
"""Objects of input and of output that are counted: 5 calls of ListObjectsV2 each."""
MOST_READ_BYTES: Final = 64 << 20
"""Bytes of output that are read to count rows, of all objects together."""
CLOCK_SKEW: Final = timedelta(seconds=5)


def list_input(s3: S3, report: RunReport) -> Listing | None:
    """What lies below the execution's input_uri; None without one. Raises ``AwsError``."""
    uri = report.input.get("input_uri")
    if not isinstance(uri, str):
        return None
    found, complete = s3.objects(S3Uri.parse(uri), MOST_LISTED)
    return listing(uri, [_object_report(each) for each in found], complete)


def list_output(s3: S3, report: RunReport) -> Listing | None:
    """What was written since the execution began; objects of earlier runs may lie below the same prefix.

    None for an execution that did not start or has no output_uri. Raises ``AwsError``.
    """
    if not report.output_uri or report.started_at is None:
        return None
    uri = S3Uri.parse(report.output_uri)
    folder = S3Uri(uri.bucket, uri.child("").key)
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


def _count_rows(s3: S3, uri: S3Uri) -> int | None:
    counter = RowCounter(uri.key)
    for chunk in s3.read(uri):
        counter.add(chunk)
    return counter.rows


def _is_output(found: S3Object, folder: S3Uri, started_at: datetime) -> bool:
    """Not a report or a stage's intermediate data, not a folder's marker, not written before the execution."""
    name = found.key.removeprefix(folder.key)
    marks_folder = found.key.endswith("/") and not found.size_bytes
    return not name.startswith(REPORT_FOLDER) and not marks_folder and found.last_modified >= started_at - CLOCK_SKEW


def _object_report(found: S3Object, rows: int | None = None) -> ObjectReport:
    return ObjectReport(key=found.key, bytes=found.size_bytes, etag=found.etag, rows=rows)
