"""The scikit-learn Dockerfile that comes with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepbridge_local.services.ecr.stand_in import PACKAGES_LABEL, VERSION_LABEL, differences, installed
from stepbridge_local.settings import SCIKIT_LEARN_FOLDER

PROJECT = Path(__file__).parents[3] / "containers" / "scikit_learn"


@pytest.mark.parametrize("name", ["Dockerfile", "requirements.txt"])
def test_it_is_the_projects(name: str) -> None:
    """A clone of the repository has the same image, so that a job sees the same packages in both."""
    assert (SCIKIT_LEARN_FOLDER / name).read_bytes() == (PROJECT / name).read_bytes()


REQUIREMENTS = (SCIKIT_LEARN_FOLDER / "requirements.txt").read_text()
LABELS = {VERSION_LABEL: "1.4-2", PACKAGES_LABEL: "python==3.10 numpy==2.1.0 scikit-learn==1.4.2"}


def of_python(version: str) -> dict[str, object]:
    return {"Labels": LABELS, "Env": ["PATH=/bin", f"PYTHON_VERSION={version}"]}


def test_nothing_is_told_where_nothing_differs() -> None:
    """The same minor version of Python is the same."""
    assert differences(of_python("3.10.13"), REQUIREMENTS, "1.4-2-cpu-py3") == ""


def test_the_nearest_is_told_with_what_the_image_has() -> None:
    """Each package that is another one, or is not there; and an image of another version."""
    line = differences(of_python("3.13.1"), REQUIREMENTS, "1.9-0-cpu-py3")
    assert line == (
        "this stand-in for sagemaker-scikit-learn:1.9-0-cpu-py3 differs: it stands for version 1.4-2, not for 1.9-0, "
        "python 3.13.1 (there 3.10), scikit-learn 1.5.2 (there 1.4.2)"
    )
    without = differences({**of_python("3.10.1"), "Labels": {**LABELS, PACKAGES_LABEL: "pyarrow==17.0.0"}}, "", "1.4-2")
    assert without.endswith("differs: no pyarrow (there 17.0.0)")


def test_a_dockerfile_of_ones_own_is_not_judged() -> None:
    """Without the labels nobody knows what it is meant to be."""
    assert differences({"Labels": None, "Env": None}, REQUIREMENTS, "1.4-2-cpu-py3") == ""


def test_requirements_are_those_of_the_python_that_runs() -> None:
    """By their markers."""
    assert installed(REQUIREMENTS, "3.12.1")["scikit-learn"] == "1.4.2"
    assert installed(REQUIREMENTS, "3.13.0")["scikit-learn"] == "1.5.2"


def test_the_labels_of_the_dockerfile_fit_its_requirements() -> None:
    """What is promised of the image is what is installed on its Python, but for pyarrow, which is left out."""
    text = (SCIKIT_LEARN_FOLDER / "Dockerfile").read_text()
    labels = {
        name: value for line in text.splitlines() if line.startswith("LABEL ")
        for name, _, value in [line.removeprefix("LABEL ").replace('"', "").partition("=")]
    }  # fmt: skip
    config = {"Labels": labels, "Env": ["PYTHON_VERSION=3.10.1"]}
    assert differences(config, REQUIREMENTS, f"{labels[VERSION_LABEL]}-cpu-py3").endswith(
        "differs: no pyarrow (there 17.0.0)"
    )
