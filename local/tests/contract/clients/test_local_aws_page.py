"""The README: the program in it is the example, and the example does what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from stepbridge_local.testing import REGION, LocalAwsProcess

LOCAL = Path(__file__).parents[3]
DOCS = LOCAL / "docs"
README = (LOCAL / "README.md").read_text()
PROGRAM = DOCS / "examples" / "local_aws_alone.py"
SCIKIT_LEARN = 'FROM python:3.11-slim\nENTRYPOINT ["python3"]\n'


def test_the_page_shows_the_program() -> None:
    """Ten lines besides the imports."""
    (shown,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert shown == PROGRAM.read_text()
    statements = [line for line in shown.splitlines() if line and not line.startswith(("import", "from", " "))]
    assert len(statements) <= 12


def test_the_program_prints_what_the_page_says(tmp_path: Path) -> None:
    """With boto3 and four variables, on a local AWS that has seen nothing yet; twice, as people do."""
    (tmp_path / "scikit_learn").mkdir()
    (tmp_path / "scikit_learn" / "Dockerfile").write_text(SCIKIT_LEARN)
    shutil.copytree(DOCS / "examples", tmp_path / "examples")
    local_aws = LocalAwsProcess(tmp_path / "data", ("--scikit-learn", str(tmp_path / "scikit_learn")))
    local_aws.start()
    environment = {
        "AWS_ENDPOINT_URL": local_aws.endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
    }
    try:
        for _ in range(2):
            run = subprocess.run(
                [sys.executable, PROGRAM.name],
                cwd=tmp_path / "examples",
                env=environment,
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
            assert run.stdout.strip() == "SUCCEEDED ADA, GRACE", run.stderr
    finally:
        local_aws.stop()
    assert "`SUCCEEDED ADA, GRACE`" in README
