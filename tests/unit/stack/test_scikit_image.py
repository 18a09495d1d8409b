"""The region's scikit-learn image."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from stepbridge.deployment import scikit_image
from stepbridge.deployment.scikit_image import copied_versions, newest_version, project_version, scikit_learn_image
from stepbridge.errors import TemplateError


def test_a_version_may_be_asked_for() -> None:
    """An older one, and in a partition with a suffix of its own."""
    assert scikit_learn_image("cn-north-1", "1.2-1") == (
        "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-scikit-learn:1.2-1-cpu-py3"
    )


def test_the_project_chooses_the_version(tmp_path: Path) -> None:
    """By the label of its stand-in, so that AWS and the local AWS have the same."""
    assert project_version(tmp_path) is None
    (tmp_path / "containers" / "scikit_learn").mkdir(parents=True)
    (tmp_path / "containers/scikit_learn/Dockerfile").write_text("FROM x\nLABEL stepbridge.scikit-learn-image=1.2-1\n")
    assert project_version(tmp_path) == "1.2-1"
    chosen = project_version(Path(__file__).parents[3])
    assert chosen in copied_versions()
    assert f":{chosen}-cpu-py3" in scikit_learn_image("eu-west-1", chosen)


def test_unknown_regions_and_versions_are_named_with_the_known_ones() -> None:
    """And the error says how to name an image by hand."""
    with pytest.raises(TemplateError, match=r"in mars-1; expected one of .*eu-west-1.*ScikitImageUri="):
        scikit_learn_image("mars-1")
    with pytest.raises(TemplateError, match=r"version '9\.9-9'; expected one of .*1\.2-1"):
        scikit_learn_image("eu-west-1", "9.9-9")


def test_the_newest_image_version_is_by_number_and_no_variant() -> None:
    """1.10 comes after 1.9, and 1.4-2-py312 is a variant of 1.4-2."""
    assert newest_version(["0.20.0", "1.9-0", "1.10-1", "1.4-2-py312"]) == "1.10-1"
    assert newest_version(["1.2-1", "1.4-2-py312", "1.0-1"]) == "1.2-1"


def test_without_the_sagemaker_sdk_the_copy_of_its_table_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is the same, and the newest version is one of the copy's."""

    def not_installed(name: str) -> None:
        raise PackageNotFoundError(name)

    with_sdk = scikit_learn_image("eu-west-1")
    monkeypatch.setattr(scikit_image, "distribution", not_installed)
    assert scikit_image.sdk_versions() is None
    assert scikit_learn_image("eu-west-1") == with_sdk
    assert f":{newest_version(copied_versions())}-cpu-py3" in with_sdk
