"""The three scripts, run by hand on real days."""

from __future__ import annotations

import ast
import datetime
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from tests.flight_data import write_day

from stepbridge.core.model_card import parse_card

from .conftest import STAGES

RunStage = Callable[[str, Path], subprocess.CompletedProcess[str]]
RunByHand = Callable[[Path], Path]

KNOWN_ONLY_AFTERWARDS = ["dep_delay", "arr_time", "arr_delay", "air_time"]


def test_a_day_of_flights_becomes_a_ranking_of_all_of_them(first_of_april: Path) -> None:
    """Every flight of the day is in the ranking once, the latest predicted first."""
    flights = pd.read_csv(first_of_april / "flights.csv")
    predictions = pd.read_csv(first_of_april / "predictions.csv")
    keys = ["carrier", "flight", "origin", "dest"]
    assert len(flights) == 970
    assert sorted(map(tuple, predictions[keys].values)) == sorted(map(tuple, flights[keys].values))
    assert list(predictions["rank"]) == list(range(1, 971))
    assert predictions["predicted_delay"].is_monotonic_decreasing
    assert predictions[["predicted_delay", "expected_delay"]].notna().all(axis=None)
    assert set(predictions["date"]) == {"2013-04-01"}
    assert predictions["scheduled_departure"].str.fullmatch(r"\d\d:\d\d").all()


def test_the_summary_follows_from_the_predictions(first_of_april: Path) -> None:
    """The day's figures can be recomputed from the ranking and the flights; cancelled flights are not judged."""
    flights = pd.read_csv(first_of_april / "flights.csv")
    predictions = pd.read_csv(first_of_april / "predictions.csv")
    flown = predictions[predictions["actual_delay"].notna()]
    summary = json.loads((first_of_april / "summary.json").read_text())
    baseline = summary.pop("baseline_mean_absolute_error_minutes")
    assert summary == {
        "date": "2013-04-01",
        "flights": 970,
        "flown": int(flights["arr_delay"].notna().sum()),
        "cancelled": int(flights["dep_time"].isna().sum()),
        "diverted": int((flights["arr_delay"].isna() & flights["dep_time"].notna()).sum()),
        "predicted_mean_delay_minutes": round(flown["expected_delay"].mean(), 2),
        "actual_mean_delay_minutes": round(flown["actual_delay"].mean(), 2),
        "mean_absolute_error_minutes": round((flown["actual_delay"] - flown["predicted_delay"]).abs().mean(), 2),
    }
    assert summary["flown"] + summary["cancelled"] + summary["diverted"] == 970
    assert summary["cancelled"] > 0
    assert summary["mean_absolute_error_minutes"] < baseline


@pytest.mark.long
@pytest.mark.parametrize("day", ["2013-07-01", "2013-12-31"])
def test_other_days_beat_the_baseline(day: str, tmp_path: Path, run_by_hand: RunByHand) -> None:
    """On a day of thunderstorms and on a day without weather records the error is less than the constant's."""
    write_day(datetime.date.fromisoformat(day), tmp_path)
    summary = json.loads((run_by_hand(tmp_path) / "summary.json").read_text())
    assert summary["date"] == day
    assert summary["mean_absolute_error_minutes"] < summary["baseline_mean_absolute_error_minutes"]


@pytest.mark.long
def test_each_day_that_the_form_offers_becomes_a_ranking(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choices of the card's field Day; the three scripts run in this process, which is quicker."""
    card = parse_card((project / "dags/models/flight_delay.yaml").read_text(), "flight_delay.yaml")
    days = card.params["day"]
    assert len(days) > 5
    for day in days:
        write_day(datetime.date.fromisoformat(day), tmp_path / day)
        monkeypatch.setattr(sys, "argv", ["script", "local", str(tmp_path / day)])
        for script in STAGES.values():
            runpy.run_path(str(script), run_name="__main__")
        predictions = pd.read_csv(tmp_path / day / "predictions.csv")
        flights = pd.read_csv(tmp_path / day / "flights.csv")
        assert len(predictions) == len(flights) > 500, day
        assert set(predictions["date"]) == {day}
        assert predictions["predicted_delay"].notna().all(), day


@pytest.mark.long
def test_nothing_known_only_afterwards_moves_a_prediction(
    first_of_april: Path, tmp_path: Path, run_by_hand: RunByHand
) -> None:
    """With delays and arrivals wiped out and the rows in another order, the predictions are the same to the digit."""
    write_day(datetime.date(2013, 4, 1), tmp_path)
    flights = pd.read_csv(tmp_path / "flights.csv")
    flights[KNOWN_ONLY_AFTERWARDS] = float("nan")
    flights["dep_time"] = flights["dep_time"].where(flights["dep_time"].isna(), 1)
    flights.sample(frac=1, random_state=1).to_csv(tmp_path / "flights.csv", index=False)
    run_by_hand(tmp_path)
    columns = ["rank", "carrier", "flight", "origin", "predicted_delay", "expected_delay"]
    before = pd.read_csv(first_of_april / "predictions.csv")[columns]
    after = pd.read_csv(tmp_path / "predictions.csv")[columns]
    pd.testing.assert_frame_equal(before, after)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["flown"] == 0
    assert summary["mean_absolute_error_minutes"] is None


def test_a_day_without_flights_says_so(tmp_path: Path, run_stage: RunStage) -> None:
    """A file with a header alone ends the first script with a text that names the file."""
    write_day(datetime.date(2013, 4, 1), tmp_path)
    header = (tmp_path / "flights.csv").read_text().splitlines()[0]
    (tmp_path / "flights.csv").write_text(header + "\n")
    done = run_stage("preprocessing", tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}/flights.csv has no flights" in done.stderr


@pytest.mark.parametrize(
    "source",
    [
        "scripts/flight_delay/preprocessing.py",
        "scripts/flight_delay/postprocessing.py",
        "containers/flight_delay/predict.py",
        "containers/flight_delay/train.py",
    ],
)
def test_the_code_knows_nothing_of_the_cloud(source: str, project: Path) -> None:
    """The scripts import what a laptop has: the standard library, pandas, scikit-learn, joblib, and each other."""
    tree = ast.parse((project / source).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert packages <= {"pandas", "sklearn", "joblib", "predict", "preprocessing"}
    assert "pandas" in packages
