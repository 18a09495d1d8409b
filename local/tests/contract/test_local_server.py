"""The local AWS as a process: its start, its address, its end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stepbridge_local.testing import LocalAwsProcess


def test_it_says_that_it_is_well(local_aws: LocalAwsProcess) -> None:
    """The health answer names the process and what runs containers."""
    with urllib.request.urlopen(f"{local_aws.endpoint_url}/_stepbridge/health", timeout=10) as answer:
        health = json.load(answer)
    assert health["status"] == "ok"
    assert health["pid"] == local_aws.pid
    assert health["runtime"] == "process"


def test_it_listens_on_the_loopback_address_only(local_aws: LocalAwsProcess) -> None:
    """What it runs for its clients is nobody else's business."""
    port = local_aws.endpoint_url.rpartition(":")[2]
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[3] for line in listening.splitlines()] == [f"127.0.0.1:{port}"]


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    """The second to come says which port is taken and how to choose another, and leaves nothing behind."""
    process = LocalAwsProcess(tmp_path / "data")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = subprocess.run(process.command("--port", port), capture_output=True, text=True, timeout=240)
    assert result.returncode == 1
    assert f"127.0.0.1:{port}" in result.stderr
    assert "--port 0" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "data" / "endpoint.json").exists()


def test_a_second_one_on_the_same_folder_is_refused(own_local_aws: LocalAwsProcess) -> None:
    """Two processes would overwrite each other's records; the text names the first one's address and process."""
    result = subprocess.run(own_local_aws.command("--port", "0"), capture_output=True, text=True, timeout=240)
    assert result.returncode == 1
    assert own_local_aws.endpoint_url in result.stderr
    assert str(own_local_aws.pid) in result.stderr
    assert "Traceback" not in result.stderr
    assert own_local_aws.client("sts").get_caller_identity()["Account"] == "123456789012"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_soon_and_in_order(own_local_aws: LocalAwsProcess, number: int) -> None:
    """Exit code 0, no traceback, and the address is withdrawn; an idle kept connection does not hold it up."""
    sts = own_local_aws.client("sts")
    sts.get_caller_identity()
    started = time.monotonic()
    assert own_local_aws.stop(number) == 0
    assert time.monotonic() - started < 5
    assert "Traceback" not in own_local_aws.log.read_text()
    assert not (own_local_aws.data_dir / "endpoint.json").exists()


def test_a_killed_one_does_not_lock_its_folder(own_local_aws: LocalAwsProcess) -> None:
    """The lock is the process's: what is left after kill -9 does not keep the next one out."""
    own_local_aws.stop(signal.SIGKILL)
    assert (own_local_aws.data_dir / "endpoint.json").exists()
    own_local_aws.start()
    assert own_local_aws.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_requests_are_not_logged_unless_asked_for(tmp_path: Path) -> None:
    """Quiet by default: a log per request would be all that anybody sees."""
    for options, expected in (((), False), (("--verbose",), True)):
        process = LocalAwsProcess(tmp_path / f"data-{len(options)}", options)
        process.start()
        process.client("s3").list_buckets()
        process.stop()
        assert ("GET /" in process.log.read_text()) == expected
        process.log.unlink()


def test_an_operation_that_does_not_exist_here_is_refused_at_once(client: Callable[..., Any]) -> None:
    """501, which clients do not retry, in the service's own protocol."""
    with pytest.raises(ClientError) as refused:
        client("sts", config=Config(retries={"total_max_attempts": 5})).get_delegated_access_token(TradeInToken="x")
    metadata = refused.value.response["ResponseMetadata"]
    assert (metadata["HTTPStatusCode"], metadata["RetryAttempts"]) == (501, 0)


def test_accounts_and_regions_are_apart(client: Callable[..., Any], name: str) -> None:
    """What is made in one region is not seen in another."""
    client("logs", region_name="eu-west-1").create_log_group(logGroupName=name)
    groups = client("logs", region_name="eu-west-1").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert [group["logGroupName"] for group in groups] == [name]
    assert client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []
