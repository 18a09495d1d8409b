"""The results of a distributed Map: as the state's output, and as the files that ResultWriter writes to S3. Pure.

https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["ChildResult", "output_of", "result_files"]

STATUSES: Final = ("FAILED", "PENDING", "SUCCEEDED")


@dataclass(frozen=True)
class ChildResult:
    """How a child execution ended. ``metadata`` is what DescribeExecution would say of it; times are text."""

    status: str
    output: Any
    metadata: Mapping[str, Any]


def output_of(children: Sequence[ChildResult], config: Mapping[str, Any]) -> list[Any]:
    """The results of all children, as an evaluated WriterConfig transforms them; of those that failed, the metadata."""
    transformation = config.get("Transformation", "COMPACT")
    results: list[Any] = []
    for child in children:
        if transformation == "NONE" or child.status != "SUCCEEDED":
            results.append(dict(child.metadata))
        elif transformation == "FLATTEN" and isinstance(child.output, list):
            results.extend(child.output)
        else:
            results.append(child.output)
    return results


def result_files(
    children: Sequence[ChildResult], config: Mapping[str, Any], bucket: str, folder: str, map_run_arn: str
) -> dict[str, bytes]:
    """The objects in ``folder`` by their keys: results for each status that occurs, and their manifest."""
    as_lines = config.get("OutputType", "JSON") == "JSONL"
    files: dict[str, bytes] = {}
    listed: dict[str, list[dict[str, Any]]] = {status: [] for status in STATUSES}
    for status in STATUSES:
        ended = [child for child in children if (child.status if child.status in STATUSES else "FAILED") == status]
        if not ended:
            continue
        results = output_of(ended, {"Transformation": "NONE", **config})
        key = f"{folder}/{status}_0.{'jsonl' if as_lines else 'json'}"
        files[key] = _lines(results) if as_lines else _json(results)
        listed[status].append({"Key": key, "Size": len(files[key])})
    manifest = {"DestinationBucket": bucket, "MapRunArn": map_run_arn, "ResultFiles": listed}
    files[f"{folder}/manifest.json"] = _json(manifest)
    return files


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _lines(values: Sequence[Any]) -> bytes:
    return b"".join(_json(value) + b"\n" for value in values)
