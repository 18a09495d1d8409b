"""A model card is strict: all its problems are reported at once, with file, line and column."""

import pickle
import subprocess
import sys
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.core.model_card import DEFAULT_START_DATE, KNOWN_KEYS, ModelCard, parse_card
from stepbridge.errors import CardError

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
    assert (card.timezone, card.start_date, card.catchup) == ("UTC", DEFAULT_START_DATE, False)
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
        ("end_date: 1979-01-01", "end_date 1979-01-01 is before start_date 1980-01-01"),
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
