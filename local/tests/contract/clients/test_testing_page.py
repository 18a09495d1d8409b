"""docs/testing.md: its example is a test that passes, and what it says of accounts is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stepbridge_local.testing import LocalAwsProcess

PAGE = Path(__file__).parents[3] / "docs" / "testing.md"


@pytest.mark.long
def test_the_example_passes(tmp_path: Path) -> None:
    """As a file of somebody's own suite."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "test_pipeline.py").write_text(example)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_pipeline.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_an_assumed_role_is_in_its_own_account(tmp_path: Path) -> None:
    """And sees nothing of another one."""
    local_aws = LocalAwsProcess(tmp_path / "data")
    local_aws.start()
    try:
        role = {"RoleArn": "arn:aws:iam::111111111111:role/any", "RoleSessionName": "test"}
        keys = local_aws.client("sts").assume_role(**role)["Credentials"]
        names = {"aws_access_key_id": "AccessKeyId", "aws_secret_access_key": "SecretAccessKey"}
        other = local_aws.client(
            "sqs", aws_session_token=keys["SessionToken"], **{n: keys[k] for n, k in names.items()}
        )
        assert other.create_queue(QueueName="mine")["QueueUrl"].split("/")[-2] == "111111111111"
        assert local_aws.client("sqs").list_queues().get("QueueUrls", []) == []
    finally:
        local_aws.stop()
