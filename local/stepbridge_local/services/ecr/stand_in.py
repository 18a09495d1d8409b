"""How the stand-in for SageMaker's prebuilt scikit-learn image differs from it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["differences"]

VERSION_LABEL: Final = "stepbridge.scikit-learn-image"
PACKAGES_LABEL: Final = "stepbridge.packages"
_REQUIREMENT: Final = re.compile(
    r"^([\w.-]+)==([^\s;]+)(?:\s*;\s*python_version\s*(<|<=|>=|>|==)\s*[\"']([\d.]+)[\"'])?"
)
_COMPARED: Final = {"<": {-1}, "<=": {-1, 0}, ">=": {0, 1}, ">": {1}, "==": {0}}


def differences(config: Mapping[str, Any], requirements: str, image_tag: str) -> str:
    """One line about the stand-in with OCI ``config``, built from ``requirements``; empty if nothing differs.

    ``image_tag`` is that of the requested image, such as ``1.4-2-cpu-py3``. Without the labels, nothing is known about
    the real image.
    """
    labels = config.get("Labels") or {}
    if VERSION_LABEL not in labels:
        return ""
    version, told = labels[VERSION_LABEL], []
    if image_tag.removesuffix("-cpu-py3") != version:
        told.append(f"it stands for version {version}, not for {image_tag.removesuffix('-cpu-py3')}")
    environment = dict(entry.split("=", 1) for entry in config.get("Env") or ())
    here = installed(requirements, environment.get("PYTHON_VERSION", ""))
    for entry in str(labels.get(PACKAGES_LABEL, "")).split():
        name, _, there = entry.partition("==")
        found = here.get(name)
        if found is None:
            told.append(f"no {name} (there {there})")
        elif found != there and not found.startswith(f"{there}."):
            told.append(f"{name} {found} (there {there})")
    return f"this stand-in for sagemaker-scikit-learn:{image_tag} differs: {', '.join(told)}" if told else ""


def installed(requirements: str, python: str) -> dict[str, str]:
    """The versions that ``requirements`` pin for this version of Python, and Python's own."""
    found = {"python": python} if python else {}
    for line in requirements.splitlines():
        pinned = _REQUIREMENT.match(line.strip())
        if pinned and (not pinned[3] or _order(python, pinned[4]) in _COMPARED[pinned[3]]):
            found[pinned[1]] = pinned[2]
    return found


def _order(python: str, other: str) -> int:
    """-1, 0 or 1: how the minor version ``python`` compares with ``other``."""
    ours, theirs = ([int(part) for part in text.split(".")[:2]] for text in (python or "0.0", other))
    return (ours > theirs) - (ours < theirs)
