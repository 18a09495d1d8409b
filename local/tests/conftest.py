"""For the whole test session: no deadlines for hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes says more about what else runs on the machine than about the code.
settings.register_profile("stepbridge-local", deadline=None)
settings.load_profile("stepbridge-local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What depends on the machine's load is tried a second time; the end of the run lists it as RERUN.

    What needs a Docker engine belongs to the long proofs.
    """
    for item in items:
        assert isinstance(item, pytest.Function)
        if item.get_closest_marker("load_dependent"):
            item.add_marker(pytest.mark.flaky(reruns=1))
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if "engine" in item.fixturenames or "docker" in (parameters.get("runtime_name"), parameters.get("site")):
            item.add_marker(pytest.mark.long)
