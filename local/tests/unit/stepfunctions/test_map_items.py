"""Items of distributed Maps: readers and batches."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from stepbridge_local.services.stepfunctions.map_items import (
    ItemsError,
    batched,
    inventory_files,
    read_inventory,
    read_items,
)

ROWS = [{"x": "1", "y": "a"}, {"x": "2", "y": "b"}]


@pytest.mark.parametrize(
    ("name", "character"), [("COMMA", ","), ("PIPE", "|"), ("SEMICOLON", ";"), ("SPACE", " "), ("TAB", "\t")]
)
def test_csv_with_each_delimiter(name: str, character: str) -> None:
    """With headers in the first row, and with given ones."""
    data = "x,y\r\n1,a\r\n2,b\r\n".replace(",", character).encode()
    config = {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVDelimiter": name}
    assert read_items(data, config) == ROWS
    given = {**config, "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["p", "q"], "MaxItems": 2}
    assert read_items(data, given) == [{"p": "x", "q": "y"}, {"p": "1", "q": "a"}]


def test_json_lines_json_and_gzip() -> None:
    """Empty lines are no items; JSON is the default; compressed objects are unpacked."""
    assert read_items(b'{"x": 1}\n\n{"x": 2}\n', {"InputType": "JSONL"}) == [{"x": 1}, {"x": 2}]
    assert read_items(b"[1, 2, 3]", {}) == [1, 2, 3]
    assert read_items(b"[1, 2, 3]", {"MaxItems": 2}) == [1, 2]
    assert read_items(gzip.compress(b"[1]"), {"InputType": "JSON"}) == [1]
    assert read_items(b'{"d": {"a/b": [1]}}', {"InputType": "JSON", "ItemsPointer": "/d/a~1b"}) == [1]


def test_parquet() -> None:
    """Rows as objects; times as text."""
    file = io.BytesIO()
    parquet.write_table(arrow.table({"x": [1, 2], "s": ["a", None]}), file)
    assert read_items(file.getvalue(), {"InputType": "PARQUET"}) == [{"x": 1, "s": "a"}, {"x": 2, "s": None}]


@pytest.mark.parametrize(
    ("data", "config", "text"),
    [
        (b"{", {}, "not JSON"),
        (b"{}", {}, "non-iterable"),
        (b"[1]\n{", {"InputType": "JSONL"}, "Line 2"),
        (b"x,x\n1,2\n", {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}, "duplicates"),
        (b"x\n", {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVDelimiter": "DOT"}, "CSVDelimiter"),
        (b"PAR", {"InputType": "PARQUET"}, "not Parquet"),
        (b"[]", {"InputType": "XML"}, "InputType: found 'XML'"),
        (b"[]", {"MaxItems": "x"}, "not a valid integer"),
        (b"[]", {"MaxItems": -1}, "must be positive"),
        (b"{}", {"ItemsPointer": "/a"}, "ItemsPointer"),
        (b"\xff", {}, "not text"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, config: dict[str, Any], text: str) -> None:
    """The error says which member, or which line."""
    with pytest.raises(ItemsError, match=text):
        read_items(data, config)


def test_an_inventory() -> None:
    """Its manifest names the files, the files name the objects."""
    files = [{"key": "data/1.csv.gz"}]
    manifest = {
        "destinationBucket": "arn:aws:s3:::inv",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key",
        "files": files,
    }
    bucket, keys, columns = inventory_files(json.dumps(manifest).encode())
    assert (bucket, keys, columns) == ("inv", ["data/1.csv.gz"], ["Bucket", "Key"])
    rows = read_inventory([gzip.compress(b'"b","k1"\n"b","k2"\n')], columns, {"MaxItems": 1})
    assert rows == [{"Bucket": "b", "Key": "k1"}]
    with pytest.raises(ItemsError, match="manifest"):
        inventory_files(b"[]")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"MaxItemsPerBatch": 2}, [[1, 2], [3, 4], [5]]),
        ({"MaxItemsPerBatch": 9}, [[1, 2, 3, 4, 5]]),
        ({"MaxInputBytesPerBatch": len('{"Items":[1,2]}')}, [[1, 2], [3, 4], [5]]),
        ({"MaxItemsPerBatch": 3, "MaxInputBytesPerBatch": len('{"Items":[1,2]}')}, [[1, 2], [3, 4], [5]]),
    ],
)
def test_batches(config: dict[str, Any], expected: list[Any]) -> None:
    """Neither more items nor more bytes than the limits; the first limit that is reached counts."""
    assert [batch["Items"] for batch in batched([1, 2, 3, 4, 5], config)] == expected


def test_the_input_of_a_batch_is_in_each() -> None:
    """And counts as part of its size."""
    limit = len('{"BatchInput":{"a":1},"Items":[1,2]}')
    batches = batched([1, 2, 3], {"BatchInput": {"a": 1}, "MaxInputBytesPerBatch": limit})
    assert batches == [{"BatchInput": {"a": 1}, "Items": [1, 2]}, {"BatchInput": {"a": 1}, "Items": [3]}]
    assert batched([], {"MaxItemsPerBatch": 2}) == []
    with pytest.raises(ItemsError, match="MaxInputBytesPerBatch"):
        batched(["x" * 50], {"MaxInputBytesPerBatch": 40})
