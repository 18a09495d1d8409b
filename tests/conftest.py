"""For the whole test session: an Airflow home of its own, set before anything imports Airflow; no deadlines."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import settings

# Airflow reads AIRFLOW_HOME when it is imported, which collection does: a fixture would come too late.
_home = tempfile.mkdtemp(prefix="stepbridge-airflow-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = _home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

# How long an example takes says more about what else runs on the machine than about the code.
settings.register_profile("stepbridge", deadline=None)
settings.load_profile("stepbridge")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What depends on the machine's load is tried a second time; the end of the run lists it as RERUN."""
    for item in items:
        if item.get_closest_marker("load_dependent"):
            item.add_marker(pytest.mark.flaky(reruns=1))
