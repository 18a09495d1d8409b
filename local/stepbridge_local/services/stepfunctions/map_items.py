"""The items of a distributed Map: read from an object of S3, and put together in batches. Pure.

https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itembatcher.html
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from typing import Any, Final

__all__ = ["INPUT_TYPES", "ItemsError", "batched", "inventory_files", "read_inventory", "read_items"]

DELIMITERS: Final[Mapping[str, str]] = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}
MAXIMUM_BATCH_BYTES: Final = 262_144
_GZIP: Final = b"\x1f\x8b"


class ItemsError(Exception):
    """An object, or a member that says how it is read, does not fit. The state fails with States.ItemReaderFailed."""


def read_items(data: bytes, config: Mapping[str, Any]) -> list[Any]:
    """The items of an object, as ``config``, an evaluated ReaderConfig, describes them. Raises ItemsError."""
    input_type = config.get("InputType", "JSON")
    reader = _READERS.get(input_type)
    if reader is None:
        raise ItemsError(f"ReaderConfig.InputType: found {input_type!r}; expected one of {', '.join(INPUT_TYPES)}")
    return list(islice(reader(_unpacked(data), config), _maximum(config)))


def _maximum(config: Mapping[str, Any]) -> int | None:
    """MaxItems; 0 and absent mean all."""
    found = config.get("MaxItems") or 0
    number = int(found) if isinstance(found, str) and found.isdecimal() else found
    if not isinstance(number, int) or isinstance(number, bool):
        raise ItemsError(f"The MaxItemsPath field refers to value '{found}' which is not a valid integer")
    if number < 0:
        raise ItemsError("field MaxItems must be positive")
    return number or None


def _unpacked(data: bytes) -> bytes:
    return gzip.decompress(data) if data[:2] == _GZIP else data


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ItemsError(f"The object is not text in UTF-8: {error}") from error


# --- readers ----------------------------------------------------------------------------------------------------------
def _read_json(data: bytes, config: Mapping[str, Any]) -> Iterator[Any]:
    try:
        found = json.loads(_text(data))
    except ValueError as error:
        raise ItemsError(f"The object is not JSON: {error}") from error
    pointer = config.get("ItemsPointer")
    for step in str(pointer).split("/")[1:] if pointer else ():
        name = step.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (LookupError, TypeError, ValueError) as error:
            raise ItemsError(f"ReaderConfig.ItemsPointer: {pointer!r} is not in the object") from error
    if not isinstance(found, list):
        raise ItemsError("Attempting to map over non-iterable node.")
    yield from found


def _read_json_lines(data: bytes, _config: Mapping[str, Any]) -> Iterator[Any]:
    for number, line in enumerate(_text(data).splitlines(), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ItemsError(f"Line {number} of the object is not JSON: {error}") from error


def _read_csv(data: bytes, config: Mapping[str, Any]) -> Iterator[Any]:
    delimiter = DELIMITERS.get(config.get("CSVDelimiter", "COMMA"))
    if delimiter is None:
        expected = ", ".join(DELIMITERS)
        raise ItemsError(f"ReaderConfig.CSVDelimiter: found {config['CSVDelimiter']!r}; expected one of {expected}")
    rows = csv.reader(io.StringIO(_text(data), newline=""), delimiter=delimiter)
    headers = config.get("CSVHeaders") if config.get("CSVHeaderLocation") == "GIVEN" else next(rows, [])
    if not isinstance(headers, list) or len(set(headers)) < len(headers):
        raise ItemsError("CSV headers cannot contain duplicates." if headers else "ReaderConfig.CSVHeaders is missing")
    ordered = sorted(headers, key=lambda header: (header.isalpha(), header))
    for row in rows:
        cells = dict(zip(headers, row + [""] * len(headers), strict=False))
        yield {header: cells[header] for header in ordered}


def _read_parquet(data: bytes, _config: Mapping[str, Any]) -> Iterator[Any]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ItemsError(
            "ReaderConfig.InputType PARQUET needs pyarrow; install it beside the local AWS: "
            "pip install 'stepbridge-local[parquet]'"
        ) from error
    try:
        rows = parquet.read_table(io.BytesIO(data)).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise ItemsError(f"The object is not Parquet: {error}") from error
    yield from (_as_json(row) for row in rows)


def _as_json(value: Any) -> Any:
    """What a value of a Parquet column is in JSON: times and numbers without a type of their own are text."""
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str | int | float | bool | None) else str(value)


_READERS: Final[Mapping[str, Callable[[bytes, Mapping[str, Any]], Iterator[Any]]]] = {
    "CSV": _read_csv,
    "JSON": _read_json,
    "JSONL": _read_json_lines,
    "PARQUET": _read_parquet,
}
INPUT_TYPES: Final = (*_READERS, "MANIFEST")


# --- S3 inventories ---------------------------------------------------------------------------------------------------
def inventory_files(manifest: bytes) -> tuple[str, list[str], list[str]]:
    """The bucket, the keys and the columns of the files that an inventory's ``manifest.json`` lists."""
    try:
        found = json.loads(_unpacked(manifest))
        columns = [name.strip() for name in found["fileSchema"].split(",")]
        keys = [file["key"] for file in found["files"]]
        bucket = found["destinationBucket"].rsplit(":", 1)[-1]
    except (KeyError, TypeError, ValueError) as error:
        raise ItemsError(f"The object is no manifest of an S3 inventory: {error!r}") from error
    if found.get("fileFormat", "CSV") != "CSV":
        raise ItemsError(f"The inventory's fileFormat: found {found['fileFormat']!r}; expected 'CSV'")
    return bucket, keys, columns


def read_inventory(files: Iterable[bytes], columns: list[str], config: Mapping[str, Any]) -> list[Any]:
    """The objects that the files of an inventory list."""
    rows = (row for data in files for row in csv.reader(io.StringIO(_text(_unpacked(data)), newline="")))
    return [dict(zip(columns, row, strict=False)) for row in islice(rows, _maximum(config))]


# --- batches ----------------------------------------------------------------------------------------------------------
def batched(items: list[Any], config: Mapping[str, Any]) -> list[Any]:
    """The inputs of the child executions: ``{"BatchInput": …, "Items": […]}``, as an evaluated ItemBatcher limits them.

    An item that is larger than MaxInputBytesPerBatch fails the Map. Raises ItemsError.
    """
    most_items = _limit(config, "MaxItemsPerBatch", len(items) or 1)
    most_bytes = _limit(config, "MaxInputBytesPerBatch", MAXIMUM_BATCH_BYTES)
    fixed = {"BatchInput": config["BatchInput"]} if "BatchInput" in config else {}
    empty = _size({**fixed, "Items": []})
    batches: list[list[Any]] = []
    size = empty
    for item in items:
        added = _size(item) + 1
        if empty + added - 1 > most_bytes:
            raise ItemsError(f"MaxInputBytesPerBatch: an item is larger than {most_bytes} bytes")
        if not batches or len(batches[-1]) >= most_items or size + added - 1 > most_bytes:
            batches.append([])
            size = empty
        batches[-1].append(item)
        size += added
    return [{**fixed, "Items": batch} for batch in batches]


def _limit(config: Mapping[str, Any], member: str, default: int) -> int:
    found = config.get(member, default)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise ItemsError(f"ItemBatcher.{member}: found {found!r}; expected a positive integer")
    return min(found, default) if found and member == "MaxInputBytesPerBatch" else found or default


def _size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
