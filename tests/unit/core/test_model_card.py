"""A model card is strict: all its problems are reported at once, with file, line and column."""

import pickle
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.core.execution_input import parse_execution_input
from stepbridge.core.model_card import KNOWN_KEYS, ModelCard, parse_card
from stepbridge.errors import CardError, ExecutionInputError

SOURCE = "dags/models/flight_delay.yaml"
SMALL = """\
schedule: 30 4 * * *
input_uri: s3://bucket/flights/{{ ds }}/
output_uri: s3://bucket/predictions/{{ ds }}/
"""


def refusal(text, source=SOURCE):
    with pytest.raises(CardError) as caught:
        parse_card(text, source)
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems
    return caught.value


def outcome(text):
    try:
        return parse_card(text, SOURCE)
    except CardError as error:
        return error.problems


def test_small_card_has_defaults():
    """A schedule, an input and an output are enough; the name is the file's."""
    card = parse_card(SMALL, SOURCE)
    assert card == ModelCard(
        name="flight_delay",
        schedule="30 4 * * *",
        input_uri="s3://bucket/flights/{{ ds }}/",
        output_uri="s3://bucket/predictions/{{ ds }}/",
    )
    assert (card.timezone, card.start_date, card.catchup) == ("UTC", None, False)
    assert (card.instance_type, card.volume_size, card.max_runtime) == ("ml.m5.large", 30, 3600)
    assert (card.container_folder, card.scripts_folder) == ("containers/flight_delay", "scripts/flight_delay")
    assert (card.builds_image, card.uploads_scripts) == (True, True)
    assert (card.max_active_runs, card.retries) == (1, 2)


def test_whole_card():
    """Every key can be set."""
    card = parse_card(
        """\
name: flight_delay
description: Arrival delay of tomorrow's flights
owner: data-team
tags: [flights, nightly]
schedule: "@daily"
timezone: America/New_York
start_date: 2013-06-01
end_date: 2013-12-31
catchup: true
input_uri: "{{ var.value.flights }}/{{ ds }}/"
output_uri: s3://bucket/predictions/
params: {day: ["2013-07-01"], region: [north, south]}
stages: [postprocessing, inference]
instance_type: ml.c5.4xlarge
volume_size: 100
max_runtime: 86400
environment: {THREADS: "4"}
container: models/shared
scripts: scripts/shared
build_args: {PYTHON_VERSION: "3.11"}
max_active_runs: 4
retries: 0
retry_delay: 30
max_retry_delay: 300
dagrun_timeout: 7200
allow_empty_output: true
wait_for_input: 7200
pool: gpu
pool_slots: 2
prices: {ml.m5.large: 0.115}
max_cost: 20
notify: ["arn:aws:sns:us-east-1:123456789012:on-call", "slack:#ops"]
deadline: 7200
""",
        SOURCE,
    )
    assert card.start_date == date(2013, 6, 1)
    assert card.stages == ("inference", "postprocessing")
    assert (card.container_folder, card.scripts_folder) == ("models/shared", "scripts/shared")
    assert set(KNOWN_KEYS) - card.model_fields_set == {"image"}
    assert ModelCard.model_validate_json(card.model_dump_json()) == card


def test_ready_image_builds_nothing():
    """A card with an image, or without inference, needs no build; without scripts no upload."""
    assert not parse_card(SMALL + "image: registry/team/model:1.2\n", SOURCE).builds_image
    assert not parse_card(SMALL + "stages: [preprocessing]\n", SOURCE).builds_image
    assert not parse_card(SMALL + "stages: [inference]\n", SOURCE).uploads_scripts


def test_unknown_key_with_line_caret_close_match_and_list():
    """A typing error is found where it stands, with what was meant and with all there is."""
    assert str(refusal("volume_sise: 3\n" + SMALL)) == (
        f"{SOURCE}: 1 problem\n"
        f"{SOURCE}:1:1: unknown key 'volume_sise'; expected one of {', '.join(sorted(KNOWN_KEYS))}; "
        "did you mean volume_size?\n"
        "    volume_sise: 3\n"
        "    ^"
    )


def test_all_problems_at_once_in_order():
    """Nobody corrects a card one error at a time."""
    error = refusal(
        """\
name: other
shedule: 0 4 * * *
timezone: America/New_Yrok
input_uri: bucket/x
volume_size: "30"
max_runtime: 777601
environment:
  THREADS: 4
  1X: a
stages: [inference, training]
instance_type: m5
start_date: yesterday
retries: 3
retries: 4
"""
    )
    assert [(problem.where.removeprefix(SOURCE), problem.found) for problem in error.problems] == [
        ("", "the required key 'output_uri' is missing"),
        (":1:7", "name is 'other'"),
        (":2:1", "unknown key 'shedule'"),
        (":3:11", "timezone is 'America/New_Yrok'"),
        (":4:12", "input_uri is 'bucket/x'"),
        (":5:14", "volume_size is '30'"),
        (":6:14", "max_runtime is 777601"),
        (":8:12", "environment.THREADS is 4"),
        (":9:3", "environment.1X is '1X'"),
        (":10:9", "stages is ['inference', 'training']"),
        (":11:16", "instance_type is 'm5'"),
        (":12:13", "start_date is 'yesterday'"),
        (":14:1", "the key 'retries' comes twice"),
    ]
    assert error.problems[3].excerpt == "timezone: America/New_Yrok\n          ^"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("start_date: 2013-02-30", "day is out of range for month; expected a YAML document"),
        ("catchup: yes please", "a valid boolean"),
        ("start_date: 2013-01-02\nend_date: 2013-01-01", "end_date 2013-01-01 is before start_date 2013-01-02"),
        ("start_date: 0001-01-01\ntimezone: Asia/Tokyo", "greater than or equal to 1900-01-01"),
        ("start_date: 9999-12-31", "less than or equal to 9000-01-01"),
        ("retry_delay: 60\nmax_retry_delay: 30", "max_retry_delay 30 is less than retry_delay 60"),
        ("retry_delay: 0", "greater than or equal to 1"),
        ("dagrun_timeout: 2678401", "less than or equal to 2678400"),
        ("params: {input_uri: [a]}", "none of input_uri, output_uri"),
        ("params: {a-b: [c]}", "not 'a-b'"),
        ("params: {a: []}", "at least one value"),
        ("params: {a: b}", "a list of strings"),
        ("catchup: true", "catchup runs every interval since start_date, so start_date must be in the card"),
        ("image: a/b:1\nbuild_args: {A: b}", "image is a ready image, so container and build_args have no effect"),
        ("container: ../elsewhere", "a folder inside the project"),
        ("scripts: /etc", "a folder inside the project"),
        ("max_active_runs: 0", "greater than or equal to 1"),
        ("tags: flights", "a list of strings"),
        ("timezone: Mars/Olympus", "an IANA time zone"),
        ("timezone: ../../etc/passwd", "an IANA time zone"),
        ("environment: [a]", "a valid dictionary"),
        ("description: [", "a YAML document"),
        ("? [a, b]\n: c", "found unhashable key"),
        ("a: &x [*x]", "unknown key"),
        ("a: !!python/object/apply:os.system [echo]", "a YAML document"),
    ],
)
def test_what_a_card_refuses(line, expected):
    """Each kind of mistake is named in words."""
    assert expected in str(refusal(SMALL + line + "\n"))


def test_schedule_that_is_no_cron_expression():
    """The field that is wrong is named."""
    text = SMALL.replace("30 4", "61 4")
    assert refusal(text).problems[0].expected == "a minute of 0 to 59, *, a range or a step, not '61'"


def test_uri_templates_are_checked_lightly():
    """A template begins with s3:// or with an expression; what it renders to is checked when it is rendered."""
    assert "it starts with s3:// or {{" in str(refusal(SMALL.replace("s3://bucket/flights/", "/data/")))
    assert parse_card(SMALL.replace("s3://bucket/flights/{{ ds }}/", "'{{ var.value.x }}'"), SOURCE)


@pytest.mark.parametrize("name", ["Flight", "1st", "a__b", "a-", "x" * 51, "a.b", "päron"])
def test_names_that_some_service_would_refuse(name):
    """DAG id, S3 prefix, image tag and execution name are all made of it."""
    assert "lower-case letters" in str(refusal(SMALL, f"dags/models/{name}.yaml"))


@pytest.mark.parametrize(
    ("text", "found"), [("", "the required key"), ("- a\n", "['a']"), ("just text", "'just text'"), ("null", "None")]
)
def test_documents_that_are_no_card(text, found):
    """An empty file, a list and a text are refused like any other card."""
    assert found in str(refusal(text))


@given(st.text(max_size=200))
def test_any_text_gives_a_card_or_a_card_error(text):
    """No text makes the parser fail in another way."""
    assert outcome(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tags: " + "[" * 1_000 + "]" * 1_000, "more than 20 levels of lists and mappings"),
        ("tags: " + "[" * 49_000 + "]" * 49_000, "more than 20 levels of lists and mappings"),
        ("".join(" " * depth + "a:\n" for depth in range(300)), "more than 20 levels of lists and mappings"),
        (
            "a: &a [b, b]\n" + "".join(f"{n}: &{n} [{f'*{p}, ' * 9}]\n" for p, n in pairwise("abcdefghi")),
            "more than 1000",
        ),
        (
            "a: &a {b: c}\n" + "".join(f"{n}: &{n} {{<<: [*{p}, *{p}]}}\n" for p, n in pairwise("abcdefghijklmnop")),
            "1000",
        ),
        ("\n".join(f"a{n}: b" for n in range(600)), "more than 1000 keys and values"),
        ("#" * 100_001, "at most 100000 are read"),
        ("description: " + "x" * 3_001, "a text of more than 3000 characters"),
        ("x" * 3_001 + ": 1", "YAML"),
        ("volume_size: 0x" + "f" * 2_900, "less than or equal to 16384"),
        ("volume_size: 1" + ":59" * 900, "less than or equal to 16384"),
        ("start_date: 0001-01-01T00:00:00+23:59", "a valid date"),
        ('description: "a\\0b"', "a control character"),
        ('"a\\0b": c', "a control character"),
        ("description: a\x01b", "control characters are not allowed"),
        ("\n".join(f"key{n}: 1" for n in range(400)), "350 problems more"),
        ("owner: " + "é" * 256, "at most 200 characters"),
        ("pool: " + "é" * 257, "at most 256 characters"),
        ("container: " + "a" * 256, "a folder inside the project"),
        ("container: " + "a/" * 600, "a folder inside the project"),
        (f"tags: [{'a' * 101}]", "at most 100 characters"),
        ("schedule: " + ",".join(map(str, range(60))) + " * * * *", "at most 100 characters"),
    ],
)
def test_what_would_cost_much_or_harm_others_is_refused_at_once(text, expected):
    """Before anything is built of it, and with a short text."""
    began = time.process_time()
    error = refusal(SMALL.replace("schedule: 30 4 * * *\n", "") + text + "\n")
    assert time.process_time() - began < 1
    assert expected in str(error)
    assert len(str(error)) < 50_000


@pytest.mark.parametrize(
    ("input_uri", "output_uri", "apart"),
    [
        ("s3://bucket/in/{{ ds }}/", "s3://bucket/out/{{ ds }}/", True),
        ("s3://bucket/in/", "s3://bucket/in-2/", True),
        ("s3://bucket/in/{{ ds }}/", "s3://bucket/in/{{ ds }}-out/", True),
        ("s3://bucket/in/", "s3://bucket/in/", False),
        ("s3://bucket/in/", "s3://bucket/in", False),
        ("s3://bucket/in/", "s3://bucket/in/out/", False),
        ("s3://bucket/in", "s3://bucket/in-out/", False),  # every key that begins like the input
        ("s3://bucket", "s3://bucket/out/", False),
        ("s3://bucket/out/in/", "s3://bucket/out/", False),
        ("s3://bucket/in/", "s3://bucket", False),
        ("s3://bucket/{{ ds }}/", "s3://bucket/{{ ds }}/out/", False),
        ("s3://bucket/in/", "s3://bucket/in/{{ ds }}/", False),
        ("s3://bucket/out/{{ ds }}/", "s3://bucket/out/", False),
        ("{{ var.value.place }}", "{{ var.value.place }}out/", False),
        ("s3://bucket-2/in/", "s3://bucket/in/out/", True),
        ("s3://bucket-2/in/", "s3://bucket", True),
    ],
)
def test_output_and_input_lie_apart(input_uri, output_uri, apart):
    """In a card, as far as it can be decided, and in an execution input; else a run reads what others wrote."""
    text = f'input_uri: "{input_uri}"\noutput_uri: "{output_uri}"\n'
    assert isinstance(outcome(text), ModelCard) is apart
    if not apart:
        assert "lies in" in str(refusal(text))
    if "{{" in text:
        return
    values = {"role": "arn:aws:iam::123456789012:role/r", "stages": ["inference"], "custom_image_uri": "a/b:1"}
    with nullcontext() if apart else pytest.raises(ExecutionInputError, match="lies in"):
        parse_execution_input({"input_uri": input_uri, "output_uri": output_uri, **values})


@pytest.mark.parametrize(
    ("zone", "input_uri", "warns"),
    [
        ("Asia/Tokyo", "s3://bucket/in/{{ ds }}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{{ local_ds[:4] }}/{{ds_nodash}}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{{ local_ds }}/", False),
        ("Asia/Tokyo", "s3://bucket/in/{{ ts_nodash }}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{{ ts }}/{{ ts_nodash_with_tz }}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{{ logical_date.strftime('%Y') }}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{{ logical_date | ds }}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{{ dag_run.logical_date | ds_nodash }}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{{ data_interval_start.format('YYYY') }}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{{ data_interval_end | ts }}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{{ macros.ds_add(ds, -1) }}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{% if params.day %}{{ params.day }}{% else %}{{ ds }}{% endif %}/", True),
        ("Asia/Tokyo", "s3://bucket/in/{{ logical_date.in_timezone('Asia/Tokyo').strftime('%F') }}/", False),
        ("Asia/Tokyo", "s3://bucket/in/{{ data_interval_end.in_tz(dag.timezone) | ds }}/", False),
        ("Asia/Tokyo", "s3://bucket/ds/{{ params.ds }}/", False),
        ("Asia/Tokyo", "s3://bucket/ds/{{ params['ds'] }}/{{ 'ds' }}/{{ params.logical_date }}/", False),
        ("Asia/Tokyo", "s3://bucket/in/{% set ds = local_ds %}{{ ds }}/", False),
        ("Asia/Tokyo", "s3://bucket/in/{# ds #}{{ local_ds }}/ds/", False),
        ("Asia/Tokyo", "s3://bucket/in/{{ ds/", False),
        ("Asia/Tokyo", "s3://bucket/in/{{" + "(" * 900 + "/", False),
        ("Africa/Abidjan", "s3://bucket/in/{{ local_ds }}/", False),
        ("UTC", "s3://bucket/in/{{ ds }}/", False),
        ("Etc/UTC", "s3://bucket/in/{{ ds }}/", False),
        ("Etc/Universal", "s3://bucket/in/{{ ts }}/", False),
        ("Zulu", "s3://bucket/in/{{ logical_date | ds }}/", False),
        ("Etc/GMT", "s3://bucket/in/{{ ds }}/", False),
        ("Etc/GMT+3", "s3://bucket/in/{{ ds }}/", True),
    ],
)
def test_utcs_date_with_another_zone_is_a_warning(zone, input_uri, warns):
    """In such a card local_ds is nearly always meant. Names count, not letters; broken templates are preflight's."""
    text = f'timezone: {zone}\ninput_uri: "{input_uri}"\noutput_uri: "s3://bucket/out/{{{{ local_ds }}}}/"\n'
    assert bool(parse_card(text, SOURCE).date_warning) is warns


def test_import_is_light():
    """Reading a card costs a DAG file neither Airflow nor boto3."""
    heavy = "[m for m in ('airflow', 'boto3', 'pendulum') if m in sys.modules]"
    code = f"import sys, stepbridge.core.model_card; print({heavy})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("wait_for_input: 0", "greater than or equal to 1"),
        ("wait_for_input: 2678401", "less than or equal to 2678400"),
        ("pool: ''", "at least 1 character"),
        ("pool: gpu\npool_slots: 0", "greater than or equal to 1"),
        ("pool_slots: 2", "pool must be in the card"),
        ("max_cost: 0", "greater than 0"),
        ("max_cost: .inf", "finite"),
    ],
)
def test_limits_of_the_guards(line: str, expected: str) -> None:
    """What a guard cannot mean is refused with what it may be."""
    with pytest.raises(CardError) as raised:
        parse_card(f"{SMALL}{line}\n", SOURCE)
    assert expected in str(raised.value)
