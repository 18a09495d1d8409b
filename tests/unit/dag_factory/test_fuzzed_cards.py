"""Cards that nobody has seen before: each is a DAG or its own error, at once, and none takes another one down."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from stepbridge.core.model_card import KNOWN_KEYS
from stepbridge.dag_factory import BrokenCardsError, check_cards, load_dags

WriteCard = Callable[..., Path]

CARDS = [
    (Path(__file__).parents[3] / "dags/models/flight_delay.yaml").read_text(encoding="utf-8"),
    """\
schedule: "@daily"
timezone: America/New_York
start_date: 2013-06-01
end_date: 2013-12-31
catchup: true
input_uri: "s3://bucket/in/{{ local_ds }}/"
output_uri: s3://bucket/out/{{ local_ds }}/
params: {day: ["2013-07-01", other], region: [north]}
stages: [postprocessing, inference]
environment: &env {THREADS: "4"}
build_args: {PYTHON_VERSION: "3.11"}
tags: [a, b]
retries: 0
wait_for_input: 7200
pool: gpu
prices: {ml.m5.large: 0.115}
max_cost: 20
notify: ["arn:aws:sns:us-east-1:123456789012:on-call", ops@example.com]
deadline: 7200
dagrun_timeout: 3600
""",
]
STRANGE_DATES = """
9999-12-31 0001-01-01 1900-01-01 2013-02-30 2013-02-28T25:00:00Z 0001-01-01T00:00:00+23:59 12:30:45.5
"""
STRANGE_ZONES = "Asia/Tokyo America/New_York Pacific/Kiritimati localtime Etc/GMT+12 UTC ../UTC posix/UTC"
STRANGE_SCHEDULES = """
@daily; @hourly; @once; @yearly; 0 4 31 2 *; * * * * *; 0 0 29 2 1; */7 1-5,7 L * 5#3; H H * * *; 0 0 * * 7;
0 0 1-31/99999999999 * *; 59 23 31 12 *; 0 0 L * *; r(0-9) * * * *; */0 * * * *; 60 * * * *; 0 0 ? * MON
"""
STRANGE_YAML = """
1e400; .inf; .nan; ~; true; -1; 0; 1.5; ''; ""; []; {}; [[]]; [1, a, ~]; {a: b}; {1: 2}; {a: {b: c}}; ? a; - a; %; !x y
!!binary aGVsbG8=; !!set {a, b}; !!omap [a: b]; !!pairs [a: b]; !!float x; !!int x; !!str 5; &a [*a]; *env; *none
!!python/object/apply:os.system [echo]; &b {<<: *env}; {<<: [*env, *env]}; "\\0"; "\\ud83d"; "\\U0001F600"; "\\N{x}"
"""
STRANGE_TEXTS = """
s3://bucket; s3://bucket/in/; s3://b; {{; {{ ds; {% if %}; {{ ds }}; s3://bucket/{{ 1/0 }}/; s3://ü/; ml.m5.large; ml.x
ml.p4d.24xlarge; [inference]; [training]; a:b@c; 123456789012.dkr.ecr.x.amazonaws.com/a; slack:#x; [slack:#x]; [a@b]
[arn:aws:sns:x]; /etc; ../x; .; a\\b; C:\\x; a b
"""
VALUES = [
    *STRANGE_DATES.split(),
    *STRANGE_ZONES.split(),
    *(each.strip() for each in re.split("[;\n]", STRANGE_SCHEDULES + STRANGE_YAML + STRANGE_TEXTS)),
    *("x" * 256, "é" * 256, "é" * 100, "a/" * 200, "1" * 2900, "0x" + "f" * 2900, "1" + ":59" * 900),
    *("[" * 1000 + "]" * 1000, "[" * 9000, "{a: " * 1000, "[" + "a, " * 990 + "]", "{" + "a: b, " * 400 + "}"),
    *("\x01", "\u2028", "'\u202e'", "|\n  a\n  b", ">-\n  a", " ", "\t", "\ufeff", "\ufdd0"),
]
KEYS = ["x" * 256, "inptu_uri", "~", "1", "? [a]", "<<", "!!int a"]


def fuzzed(card: str, chance: random.Random) -> str:
    """The card with one to four things changed, mostly one."""
    lines = card.splitlines()
    for _ in range(chance.choice([1, 1, 1, 1, 2, 4])):
        at = chance.randrange(len(lines)) if lines else 0
        line = lines[at] if lines else ""
        match chance.randrange(9):
            case 0 if lines:
                del lines[at]
            case 1:
                lines.insert(at, line)
            case 2 if line:
                cut = chance.randrange(len(line))
                lines[at] = (
                    line[:cut]
                    + chance.choice(["", ":", " ", "'", '"', "[", "}", "#", "*", "&", "\0", "é"])
                    + line[cut + 1 :]
                )
            case 3 if line:
                lines[at] = line[: chance.randrange(len(line))]
            case 4:
                lines.insert(at, f"{chance.choice(KEYS)}: {chance.choice(VALUES)}")
            case 5:
                lines.insert(at, " " * chance.randrange(5) + chance.choice(VALUES))
            case _:
                key = chance.choice(KNOWN_KEYS)
                lines = [each for each in lines if not each.startswith(f"{key}:")]
                lines.append(f"{key}: {chance.choice(VALUES)}")
    return "\n".join(lines)


def require_storable(dag: DAG) -> None:
    """Airflow's database, PostgreSQL's too, can keep the DAG."""
    stored = json.dumps(DagSerialization.to_dict(dag), allow_nan=False, ensure_ascii=False)
    stored.encode()  # no half of a pair of surrogates
    assert not re.search(r"(?<!\\)(\\\\)*\\u0000", stored)


def fuzz(project: Path, write_card: WriteCard, count: int) -> None:
    """Load ``count`` cards, each by itself and all together."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    write_card("good.yaml")
    models = project / "dags/models"
    slow = []
    for number in range(count):
        write_card(f"card_{number}.yaml", fuzzed(chance.choice(CARDS), chance), files=number % 2 == 0)
        began = time.process_time()
        dags = load_dags(models, dag_id=f"card_{number}")
        if time.process_time() - began > 1:
            slow.append(number)
        for dag in dags.values():
            require_storable(dag)
    assert not slow
    dags = load_dags(models)
    assert len(dags) == count + 1
    assert len(dags["good"].tasks) == 4
    built = sum(dag.tags != {"broken-card"} for dag in dags.values())
    print(f"{built} of {count + 1} cards are DAGs")
    assert count > built > 1  # neither does the fuzzing break all cards nor leave all as they are
    with pytest.raises(BrokenCardsError) as raised:
        check_cards(models)
    assert not any(problem.where.endswith("good.yaml") for problem in raised.value.problems)
    str(raised.value).encode()


def test_fuzzed_cards(project: Path, write_card: WriteCard) -> None:
    """Other ones at each run; the seed is printed."""
    fuzz(project, write_card, 150)


@pytest.mark.long
def test_two_thousand_fuzzed_cards(project: Path, write_card: WriteCard) -> None:
    """The same, with more of them."""
    fuzz(project, write_card, 2_000)


def test_what_is_no_card_harms_no_card(project: Path, write_card: WriteCard) -> None:
    """Folders, links to nothing, pipes, endless files, odd names."""
    models = project / "dags/models"
    write_card("good.yaml")
    (models / "folder.yaml").mkdir()
    (models / "gone.yaml").symlink_to("nowhere")
    (models / "endless.yaml").symlink_to("/dev/zero")
    os.mkfifo(models / "pipe.yaml")
    write_card("large.yaml", "#" * 10_000_000, files=False)
    for name in ("x" * 250 + ".yaml", "é b\n.yaml", "...yaml", os.fsdecode(b"\xff.yaml"), "-.yml", "ﬁ2.yaml"):
        write_card(name, files=False)
    dags = load_dags(models)
    assert len(dags["good"].tasks) == 4
    assert len(dags) == 12
    for dag in dags.values():
        require_storable(dag)
    with pytest.raises(BrokenCardsError) as raised:
        check_cards(models)
    str(raised.value).encode()
