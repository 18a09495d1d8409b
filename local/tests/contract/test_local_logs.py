"""What is printed is read back as it was, and does not fill the memory of the local AWS."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from stepbridge_local.testing import LocalAwsProcess

LINES, LINE_CHARACTERS = 1000, 100_000


def test_messages_are_on_disk(local_aws: LocalAwsProcess, client: Callable[..., Any], name: str) -> None:
    """100 MB of log lines leave the process about as large as it was; every line is as it was written."""
    logs = client("logs")
    group, stream = f"/{name}", "printed"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)

    def put(texts: list[str]) -> None:
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": text} for text in texts]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    put(["first \u00fc\U0001f600 line"])
    pid = httpx.get(f"{local_aws.endpoint_url}/_stepbridge/health").json()["pid"]
    before = memory_bytes(pid)
    for start in range(0, LINES, 10):
        put([f"{number:06}".ljust(LINE_CHARACTERS, "x") for number in range(start, start + 10)])
    assert memory_bytes(pid) - before < LINES * LINE_CHARACTERS * 0.7  # what handling a request takes, once
    found = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, limit=3)["events"]
    assert [event["message"][:6] for event in found] == ["first ", "000000", "000001"]
    assert found[0]["message"] == "first \u00fc\U0001f600 line"
    assert len(found[1]["message"]) == LINE_CHARACTERS
    last = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=False, limit=1)["events"]
    assert [event["message"][:6] for event in last] == [f"{LINES - 1:06}"]


def memory_bytes(pid: int) -> int:
    """What the process holds by itself, without files that are mapped."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
