"""The report's figures: objects, rows, cost, digests."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.execution_builder import ExecutionBuilder, execution

from stepbridge.core.model_card import parse_card
from stepbridge.core.run_report.build import build_run_report
from stepbridge.core.run_report.cost import PricesError, cost_of, parse_prices
from stepbridge.core.run_report.model import ObjectReport, RunReport
from stepbridge.core.run_report.objects import LISTED_OBJECTS, RowCounter, counts_rows, listing
from stepbridge.core.run_report.timeline import figures

DIGEST = "0123456789abcdef" * 4


def counted(key: str, text: bytes, size: int = 1 << 20) -> int:
    counter = RowCounter(key)
    for begin in range(0, len(text), size):
        counter.add(text[begin : begin + size])
    return counter.rows


@pytest.mark.parametrize(
    ("key", "text", "rows"),
    [
        ("a.csv", b"", 0),
        ("a.csv", b"x,y\n", 0),
        ("a.csv", b"x,y\n1,2\n3,4", 2),
        ("a.CSV", b"x,y\r\n1,2\r\n\r\n", 1),
        ("a.csv", b'x\n"two\nlines"\n', 1),
        ("a.csv", b'x\n"says ""\n"" twice"\n"",\n', 2),
        ("a.tsv", b"x\ty\n1\t2\n", 1),
        ("a.jsonl", b'{"a": "x"}\n\n{"a": "\\""}', 2),
        ("a.ndjson", b"1\n2\n3\n", 3),
    ],
)
def test_rows_of_a_table_of_lines(key: str, text: bytes, rows: int) -> None:
    """The header is no row, nor is an empty line, nor the line end within quotes; chunks may end anywhere."""
    assert counts_rows(key)
    assert {counted(key, text, size) for size in (1, 2, 3, 1 << 20)} == {rows}


@given(
    st.lists(st.lists(st.text(alphabet='a ,"\n', min_size=1), min_size=1, max_size=3), max_size=8), st.integers(1, 9)
)
def test_rows_are_those_that_python_s_csv_module_wrote(table: list[list[str]], size: int) -> None:
    """Whatever is in the fields."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["header"], *table])
    assert counted("a.csv", text.getvalue().encode(), size) == len(table)


def test_other_formats_are_not_counted() -> None:
    """Their rows are not known; None is not nought."""
    assert not any(counts_rows(key) for key in ("a.parquet", "a.csv.gz", "a.json", "csv"))


def test_a_listing_names_a_hundred_objects_and_counts_all() -> None:
    """An XCom stays small."""
    objects = [ObjectReport(key=f"{n:04}.csv", bytes=2, etag="e", rows=3) for n in range(250)]
    found = listing("s3://b/out", objects, complete=True)
    assert (found.count, found.bytes, found.rows, len(found.objects)) == (250, 500, 750, LISTED_OBJECTS)
    one_unknown = [*objects, ObjectReport(key="z.parquet", bytes=1, etag="e")]
    assert listing("s3://b/out", one_unknown, complete=True).rows is None
    assert listing("s3://b/out", objects, complete=False).rows is None
    too_large = [*objects, ObjectReport(key="z.csv.gz", bytes=1, etag="e")]
    assert listing("s3://b/out", too_large, complete=True).rows is None
    not_a_table = [
        *objects,
        ObjectReport(key="metrics.json", bytes=1, etag="e"),
        ObjectReport(key="a", bytes=1, etag="e"),
    ]
    assert listing("s3://b/out", not_a_table, complete=True).rows == 750
    assert listing("s3://b/out", not_a_table[-2:], complete=True).rows is None
    assert listing("s3://b/out", [], complete=True).rows is None


def two_stages() -> RunReport:
    """Preprocessing 36 s and inference 72 s, each on 2 x ml.c5.xlarge."""
    built = ExecutionBuilder().ran(0, 36, "Preprocessing").ran(36, 108, "Inference")
    return build_run_report(execution("SUCCEEDED", 110), built.events, built.jobs)


def test_cost_at_the_configured_prices() -> None:
    """Instance hours times price, by stage and in all."""
    cost = cost_of(two_stages(), {"ml.c5.xlarge": 10.0})
    assert (cost.total, cost.by_stage, cost.unpriced) == (0.6, {"preprocessing": 0.2, "inference": 0.4}, ())


def test_a_type_without_a_price_makes_the_total_unknown() -> None:
    """A sum without it would be too small, and nobody would see."""
    report = two_stages()
    cost = cost_of(report, {"ml.m5.large": 1.0})
    assert (cost.total, cost.unpriced) == (None, ("ml.c5.xlarge",))
    assert figures(report.model_copy(update={"cost": cost})) == ["  cost: no price is configured for ml.c5.xlarge"]


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"m5": 1}', '{"ml.m5.large": -1}', '{"ml.m5.large": "expensive"}'])
def test_prices_that_are_none_are_refused(text: str) -> None:
    """With what was found and an example."""
    with pytest.raises(PricesError, match="stepbridge_prices"):
        parse_prices(text)


def test_prices_of_the_variable_and_of_the_card() -> None:
    """JSON in the one, YAML in the other."""
    assert parse_prices('{"ml.m5.large": 0.115}') == {"ml.m5.large": 0.115}
    card = parse_card(
        "input_uri: s3://bucket/in/\noutput_uri: s3://bucket/out/\n"
        "prices:\n  ml.m5.large: 0.115\nallow_empty_output: true\n",
        "dags/models/m.yaml",
    )
    assert card.prices == {"ml.m5.large": 0.115}
    assert card.allow_empty_output


def test_the_report_has_the_digests_of_what_ran() -> None:
    """The image's and the scripts' from the input, the state machine's version from the execution."""
    given_input = {
        "output_uri": "s3://b/out",
        "custom_image_uri": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/models@sha256:{DIGEST}",
        "code_uri": f"s3://b/stepbridge/code/m/{DIGEST}/",
    }
    version = "arn:aws:states:us-east-1:123456789012:stateMachine:batch-inference:7"
    ended = execution("SUCCEEDED", 1, input=json.dumps(given_input), stateMachineVersionArn=version)
    report = build_run_report(ended, [], {})
    assert (report.image_digest, report.code_digest) == (f"sha256:{DIGEST}", DIGEST)
    assert report.state_machine_version_arn == version
    tagged = execution("SUCCEEDED", 1, input=json.dumps({"custom_image_uri": "r/m:one", "code_uri": "s3://b/code/"}))
    assert build_run_report(tagged, [], {}).image_digest is None
    assert build_run_report(tagged, [], {}).code_digest is None


def test_numbers_are_round_and_nouns_agree() -> None:
    """No 7.3100000000000005 and no "1 rows"."""
    built = ExecutionBuilder().ran(0, 2.44, "Preprocessing").ran(3, 5.43, "Inference").ran(6, 8.44, "Postprocessing")
    report = build_run_report(execution("SUCCEEDED", 9), built.events, built.jobs)
    assert [str(stage.instance_seconds) for stage in report.stages] == ["4.88", "4.86", "4.88"]
    assert str(report.instance_seconds) == "14.62"
    one = listing("s3://b/o", [ObjectReport(key="a.csv", bytes=1, etag="e", rows=1)], complete=True)
    assert figures(report.model_copy(update={"outputs": one})) == ["  output: 1 object, 1 byte, 1 row below s3://b/o"]


def test_figures_in_the_log_and_for_asset_events() -> None:
    """What was read, written and paid, in a line each; the same numbers for those whom the asset triggers."""
    objects = [ObjectReport(key="out/a.csv", bytes=10, etag="e", rows=3)]
    report = two_stages().model_copy(
        update={
            "inputs": listing("s3://b/in", [], complete=True),
            "outputs": listing("s3://bucket/out/", objects, complete=True),
            "cost": cost_of(two_stages(), {"ml.c5.xlarge": 10.0}),
        }
    )
    assert figures(report) == [
        "  input: 0 objects, 0 bytes below s3://b/in",
        "  output: 1 object, 10 bytes, 3 rows below s3://bucket/out/",
        "  cost at the configured prices: 0.6000",
    ]
    figures_of_event = report.key_figures
    assert (
        figures_of_event["output_uri"],
        figures_of_event["rows"],
        figures_of_event["bytes"],
        figures_of_event["cost"],
    ) == ("s3://bucket/out/", 3, 10, 0.6)
    assert json.loads(json.dumps(figures_of_event)) == figures_of_event
