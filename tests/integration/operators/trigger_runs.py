"""Executions that only wait, and triggers that wait for them as Airflow's triggerer runs them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from airflow.triggers.base import TriggerEvent
from airflow.triggers.shared_stream import SharedStreamManager

from stepbridge.triggers.execution import ExecutionTrigger

DEADLINE_SECONDS = 180.0
WAITING = json.dumps({"StartAt": "W", "States": {"W": {"Type": "Wait", "SecondsPath": "$.seconds", "End": True}}})

Start = Callable[[float], str]


async def fired(manager: SharedStreamManager, number: int, arn: str, queue_url: str = "") -> dict[str, Any]:
    """What the trigger fires when run as ``TriggerRunner.run_trigger`` runs it."""
    trigger = ExecutionTrigger(execution_arn=arn, events_queue_url=queue_url)
    key = trigger.shared_stream_key()
    stream = manager.subscribe(trigger_id=number, trigger=trigger, key=key)
    events: list[TriggerEvent] = []
    try:
        events += [event async for event in trigger.filter_shared_stream(stream)]
    finally:
        await manager.unsubscribe(number, key)
    assert len(events) == 1
    return dict(events[0].payload)


async def all_fired(arns: list[str], queue_url: str = "") -> list[dict[str, Any]]:
    manager = SharedStreamManager()
    try:
        waits = [fired(manager, number, arn, queue_url) for number, arn in enumerate(arns)]
        return await asyncio.wait_for(asyncio.gather(*waits), DEADLINE_SECONDS)
    finally:
        await manager.stop_all()
