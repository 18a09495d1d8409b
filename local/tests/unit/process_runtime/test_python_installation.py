"""Which Python of the machine an image runs on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from stepbridge_local.runtimes.process.errors import PythonNotFoundError
from stepbridge_local.runtimes.process.image import ImageConfig, PythonInstallation, python_image_config
from stepbridge_local.runtimes.process.python_installation import describe_other, find_python, nearest_first

OWN = PythonInstallation("3.13.0", "/opt/python3.13", "/opt/python3.13/bin/python3.13")


def machine(folder: Path, *versions: str, broken: str = "") -> Mapping[str, str]:
    """The environment of a machine with these Pythons on PATH; ``broken`` is one that does not start."""
    for version in filter(None, (*versions, broken)):
        answer = "exit 1" if version == broken else f"""echo '["{version}", "{folder}", "{folder}/python"]'"""
        program = folder / f"python{'.'.join(version.split('.')[:2])}"
        program.write_text(f"#!/bin/sh\n{answer}\n")
        program.chmod(0o755)
    return {"PATH": str(folder), "HOME": str(folder / "home")}


@pytest.mark.parametrize(
    ("wanted", "others", "taken"),
    [
        ("", ["3.11.7"], "3.13.0"),
        ("3", ["3.11.7"], "3.13.0"),
        ("3.13.5", ["3.12.1"], "3.13.0"),
        ("3.11", ["3.11.7", "3.12.1"], "3.11.7"),
        ("3.11", ["3.10.2", "3.12.1", "3.14.0"], "3.12.1"),
        ("3.11", ["3.10.2", "3.14.0"], "3.13.0"),
        ("3.11", [], "3.13.0"),
        ("3.14", ["3.12.1"], "3.13.0"),
        ("3.14", ["3.12.1", "3.15.0"], "3.15.0"),
        ("3.6", ["3.7.9", "3.8.18"], "3.8.18"),
    ],
)
def test_the_wanted_minor_version_or_the_nearest(wanted: str, others: list[str], taken: str, tmp_path: Path) -> None:
    """Newer ones come before older ones; the program's own counts."""
    assert find_python(wanted, machine(tmp_path, *others), OWN).version == taken


def test_a_python_that_does_not_start_is_passed_over(tmp_path: Path) -> None:
    """As a version manager's stand-in for a Python that it does not have."""
    assert find_python("3.11", machine(tmp_path, "3.12.1", broken="3.11.7"), OWN).version == "3.12.1"


@pytest.mark.parametrize("wanted", ["2.7", "2", "4"])
def test_nothing_stands_in_for_another_major_version(wanted: str, tmp_path: Path) -> None:
    """The error says what to do."""
    with pytest.raises(PythonNotFoundError, match="--runtime docker"):
        find_python(wanted, machine(tmp_path, "3.12.1"), OWN)


def test_the_order_of_the_nearest() -> None:
    """From the next newer one up, then from the next older one down to 3.8."""
    order = nearest_first("3.11")
    assert order[:3] == ["3.12", "3.13", "3.14"]
    assert order[-3:] == ["3.10", "3.9", "3.8"]
    assert nearest_first("3.5")[0] == "3.8"
    assert nearest_first("2.7") == nearest_first("3") == []


def test_the_image_keeps_why_it_runs_on_another_python() -> None:
    """As a label, which `docker inspect` shows and which survives a restart; without a reason there is none."""
    reason = describe_other("3.11.7", OWN)
    assert reason == "this machine has no Python 3.11; running on 3.13.0, the nearest it has"
    kept = ImageConfig.from_oci(python_image_config("3.13.0", reason).to_oci())
    assert kept.other_python == reason
    assert python_image_config("3.13.0").labels == ()
