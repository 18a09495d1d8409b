"""InputTrigger: fires when there is something below an S3 prefix, or its deadline has passed.

Nothing in S3 can be waited for, so it lists: one ListObjectsV2 a look, at an interval that grows with the wait from 1
to 30 s, with jitter. All triggers of one triggerer and connection share one client, whose calls run in threads.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from airflow.triggers.base import BaseTrigger, TriggerEvent

from stepbridge.aws.arns import S3Uri
from stepbridge.errors import AwsError, CredentialsError
from stepbridge.triggers.poll_interval import backoff_seconds, poll_interval, with_jitter
from stepbridge.triggers.watcher import CREDENTIALS_GRACE_SECONDS, TRANSIENT_ERRORS

if TYPE_CHECKING:
    from stepbridge.aws.s3 import S3

__all__ = ["InputTrigger"]


class InputTrigger(BaseTrigger):
    """Fires once, with ``{"found", "fault"}``; ``fault`` is the text of why it can't look, or empty.

    Throttling, AWS's own errors and a lost network only make the looks rarer; credentials have ten minutes to be
    renewed in the connection. A denied look ends the wait at once.

    :param uri: the prefix, ``s3://bucket/prefix``.
    :param began_at: when the wait began, as a Unix time.
    :param deadline_at: when it ends at the latest, as a Unix time.
    :param aws_conn_id: the Airflow connection; None means boto3's own search for credentials.
    :param region_name: goes before the connection's region.
    :param settle_seconds: how long after the deferral it fires at the earliest, see ExecutionTrigger.
    """

    def __init__(
        self,
        *,
        uri: str,
        began_at: float,
        deadline_at: float,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        settle_seconds: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.uri = uri
        self.began_at = began_at
        self.deadline_at = deadline_at
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.settle_seconds = settle_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, for the triggerer."""
        arguments = {
            "uri": self.uri,
            "began_at": self.began_at,
            "deadline_at": self.deadline_at,
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "settle_seconds": self.settle_seconds,
        }
        return "stepbridge.triggers.input.InputTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to tell."""
        settled = time.monotonic() + self.settle_seconds
        event = await self._watched()
        await asyncio.sleep(settled - time.monotonic())
        yield event

    async def _watched(self) -> TriggerEvent:
        failures, failing_since = 0, 0.0
        while True:
            try:
                if await asyncio.to_thread(self._holds_objects):
                    return _made(found=True)
                failures = 0
            except (*TRANSIENT_ERRORS, CredentialsError) as fault:
                failing_since = failing_since if failures else time.monotonic()
                failures += 1
                self.log.warning("%s", fault)
                lasts = time.monotonic() - failing_since > CREDENTIALS_GRACE_SECONDS
                if isinstance(fault, CredentialsError) and lasts:
                    return _made(fault=str(fault))
            except AwsError as fault:
                return _made(fault=str(fault))
            left = self.deadline_at - time.time()
            if left <= 0:
                return _made()
            seconds = backoff_seconds(failures) if failures else poll_interval(time.time() - self.began_at)
            await asyncio.sleep(min(with_jitter(seconds, random.random()), left))

    def _holds_objects(self) -> bool:
        place = (self.aws_conn_id, self.region_name)
        try:
            return _client(place).holds_objects(S3Uri.parse(self.uri))
        except CredentialsError:
            with _making:
                _clients.pop(place, None)  # the next look reads the connection again
            raise


def _made(*, found: bool = False, fault: str = "") -> TriggerEvent:
    return TriggerEvent({"found": found, "fault": fault})  # type: ignore[no-untyped-call]


_clients: Final[dict[tuple[str | None, str | None], S3]] = {}
_making: Final = threading.Lock()


def _client(place: tuple[str | None, str | None]) -> S3:
    """The client that all triggers of this process share for a connection and region."""
    from stepbridge.hooks.stepbridge import StepbridgeHook  # here, since a parse of a DAG file shall not import boto3

    with _making:
        if place not in _clients:
            _clients[place] = StepbridgeHook(*place).s3
        return _clients[place]
