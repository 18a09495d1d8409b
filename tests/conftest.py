"""Airflow's home for the whole test session: a folder of its own, set before anything imports Airflow."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Airflow reads AIRFLOW_HOME when it is imported, which collection does: a fixture would come too late.
_home = tempfile.mkdtemp(prefix="stepbridge-airflow-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = _home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
