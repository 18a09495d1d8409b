"""The repository's template, as it is and as it is deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stepbridge.deployment._template import PackagedTemplate, parse_template, read_template

TEMPLATE = Path(__file__).parents[3] / "infra" / "stack.yaml"


@pytest.fixture(scope="session")
def template_path() -> Path:
    return TEMPLATE


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return parse_template(TEMPLATE.read_text(), str(TEMPLATE))


@pytest.fixture(scope="session")
def packaged() -> PackagedTemplate:
    return read_template(TEMPLATE)
