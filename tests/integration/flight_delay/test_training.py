"""The model artifact is what train.py makes, and the model's README tells what it is worth."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
from tests.flight_data import FIRST_DAY, LAST_DAY, write_days

from stepbridge.core.model_card import parse_card

pytestmark = pytest.mark.xdist_group("training")

MODEL_FOLDER = "containers/flight_delay"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, project: Path) -> tuple[Path, str]:
    """A copy of the model's folder after train.py ran on the whole year, and what it printed."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in (MODEL_FOLDER, "scripts/flight_delay"):
        shutil.copytree(project / folder, copy / folder)
    (copy / MODEL_FOLDER / "model.joblib").unlink()
    year = copy / "year"
    write_days(FIRST_DAY, LAST_DAY, year)
    command = [sys.executable, str(copy / MODEL_FOLDER / "train.py"), str(year)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    return copy / MODEL_FOLDER, done.stdout


@pytest.mark.long
def test_training_again_gives_the_same_model(trained: tuple[Path, str], first_of_april: Path, tmp_path: Path) -> None:
    """The committed artifact and a newly trained one predict the same, to the last digit."""
    folder, _ = trained
    shutil.copy(first_of_april / "features.csv", tmp_path)
    subprocess.run([sys.executable, str(folder / "predict.py"), "local", str(tmp_path)], check=True, timeout=240)
    assert (tmp_path / "scored.csv").read_text() == (first_of_april / "scored.csv").read_text()


@pytest.mark.long
def test_the_readme_tells_the_measured_gain(trained: tuple[Path, str], project: Path) -> None:
    """The table in the README is the one that train.py prints, and the model beats the constant in every month."""
    _, printed = trained
    measured = {
        line.split()[0]: [float(number) for number in line.split()[1:]] for line in printed.splitlines()[2:] if line
    }
    assert list(measured) == [*map(str, range(4, 13)), "all"]
    readme = (project / MODEL_FOLDER / "README.md").read_text().replace("*", "")
    rows = re.findall(r"^\| (\S+) \| (\S+ .*) \|$", readme, re.MULTILINE)
    told = {
        month: [float(re.sub(r"[,% ]", "", cell)) for cell in rest.split("|")]
        for month, rest in rows
        if month in measured
    }
    assert told.keys() == measured.keys()
    for month, numbers in measured.items():
        assert told[month] == pytest.approx(numbers, abs=0.051), month
        _flights, mae, baseline_mae, _gain, rmse, baseline_rmse, *_ = numbers
        assert mae < baseline_mae
        assert rmse < baseline_rmse


def test_the_image_has_the_versions_that_made_the_artifact(project: Path) -> None:
    """requirements.txt pins the scikit-learn that pickled the model, which is loaded by no other without a warning."""
    pins = dict(
        re.findall(r"^([\w-]+)==(\S+)$", (project / MODEL_FOLDER / "requirements.txt").read_text(), re.MULTILINE)
    )
    artifact = project / MODEL_FOLDER / "model.joblib"
    model = joblib.load(artifact)
    assert model["median_model"].__getstate__()["_sklearn_version"] == pins["scikit-learn"]
    assert artifact.stat().st_size < 5_000_000


def test_the_training_months_end_before_the_card_begins(project: Path) -> None:
    """No day that the card runs for was trained on."""
    path = project / "dags/models/flight_delay.yaml"
    card = parse_card(path.read_text(), "dags/models/flight_delay.yaml")
    assert re.search(r"^LAST_TRAINING_MONTH = 3$", (project / MODEL_FOLDER / "train.py").read_text(), re.MULTILINE)
    assert card.start_date is not None
    assert card.start_date >= datetime.date(2013, 4, 1)
