"""The environment of the local site's Airflow."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from stepbridge.cli.local_site import airflow_site
from stepbridge.cli.local_site.airflow_site import AirflowSite

ROOT = Path(__file__).parents[3]
ALL_MASKED = """
import json
import airflow.sdk
from airflow.configuration import conf
from airflow.sdk import BaseHook
from airflow.sdk._shared import secrets_masker

conf.mask_secrets()
assert BaseHook.get_connection("aws_default").password
print(json.dumps(list(secrets_masker._secrets_masker().patterns)))
"""


def test_nothing_that_airflow_masks_for_us_stands_in_a_text_of_ours(tmp_path: Path) -> None:
    """All that Airflow takes for a secret in a task of the site is looked for in every file of the project."""
    database = f"postgresql+psycopg2://airflow@/postgres?host={tmp_path}"
    site = AirflowSite(ROOT, tmp_path / "airflow", 8080, "http://127.0.0.1:4566", "us-east-1", database)
    command = [sys.executable, "-c", ALL_MASKED]
    told = subprocess.run(command, env=site.environment(), capture_output=True, text=True, check=True).stdout
    patterns = json.loads(told.splitlines()[-1])
    assert any(re.search(pattern, airflow_site.SECRET_ACCESS_KEY) for pattern in patterns)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    files = [ROOT / name for name in listed.split("\0") if name] or list((ROOT / "plugins").rglob("*.py"))
    texts = {str(file): file.read_bytes().decode(errors="replace") for file in files if file.is_file()}
    del texts[airflow_site.__file__]  # which defines them
    texts["paths"] = f"{sys.prefix} /usr/local/lib /opt/ml/processing/input local://local {ROOT} {tmp_path}"
    masked = [(pattern, name) for pattern in patterns for name, text in texts.items() if re.search(pattern, text)]
    assert masked == []


READS_AN_IGNORE_FILE = """
import logging
import sys
from pathlib import Path

import airflow.sdk
from airflow.configuration import conf
from airflow.sdk._shared.module_loading.file_discovery import find_path_from_directory

logging.captureWarnings(True)
logging.basicConfig(stream=sys.stdout)
print(list(find_path_from_directory(Path(sys.argv[1]), ".airflowignore", "glob")))
"""


def test_no_library_s_deprecation_stands_in_every_task_log(tmp_path: Path) -> None:
    """Airflow reads .airflowignore in every task with a class that pathspec calls deprecated."""
    (tmp_path / ".airflowignore").write_text("stepbridge/\n")
    (tmp_path / "models.py").write_text("")
    site = AirflowSite(ROOT, tmp_path / "airflow", 8080, "http://127.0.0.1:4566", "us-east-1")
    command = [sys.executable, "-c", READS_AN_IGNORE_FILE, str(tmp_path)]
    told = subprocess.run(command, env=site.environment(), capture_output=True, text=True, check=True)
    assert "models.py" in told.stdout
    assert "deprecated" not in told.stdout + told.stderr


def test_a_secret_that_was_not_written_is_made_anew(tmp_path: Path) -> None:
    """An empty file, as a full disk left it, is no password; each file is private and written whole."""
    home = tmp_path / "airflow"
    home.mkdir()
    for name in ("password", "secret_key", "jwt_secret"):
        (home / name).touch()
    site = AirflowSite(ROOT, home, 8080, "http://127.0.0.1:4566", "us-east-1", None)
    first = site.environment()
    assert len(site.password()) >= 12
    assert len(first["AIRFLOW__API__SECRET_KEY"]) >= 32
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    assert site.environment() == first
    assert {path.stat().st_mode & 0o777 for path in home.iterdir() if path.is_file()} == {0o600}
    assert list(home.glob("*.new")) == []
