"""InputTrigger: fires when there is an object below an S3 prefix, or when its deadline has passed.

S3 offers no call that waits, so it polls: one ListObjectsV2, at an interval that grows with the wait from 1 to 30 s,
with jitter. All triggers of one triggerer and connection share one client, whose calls run in threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from stepbridge.aws.arns import S3Uri
from stepbridge.errors import TRANSIENT_ERRORS, AwsError, CredentialsError
from stepbridge.triggers.poll_interval import backoff_seconds, poll_interval, with_jitter
from stepbridge.triggers.poller import CREDENTIALS_GRACE_SECONDS

if TYPE_CHECKING:
    from stepbridge.aws.s3 import S3


class InputTrigger(BaseTrigger):
    """Fires once, with ``{"found", "fault"}``; ``fault`` is the text of why it can't poll, or empty.

    Throttling, AWS's own errors and a lost network only make the polls rarer; credentials have ten minutes to be
    renewed in the connection. A denied poll ends the wait at once.

    ``uri`` is the prefix, ``s3://bucket/prefix``; ``began_at`` and ``deadline_at`` are Unix times. The other arguments
    are ExecutionTrigger's.
    """

    clients: ClassVar[dict[tuple[str | None, str | None], S3]] = {}
    """By connection and region: shared by the triggers of one process, as ``ExecutionTrigger.subscribers`` is."""
    _making_client: ClassVar[threading.Lock] = threading.Lock()

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
        """Class path and arguments, for the triggerer. Deferred tasks of earlier versions have them in this form."""
        names = ("uri", "began_at", "deadline_at", "aws_conn_id", "region_name", "settle_seconds")
        return "stepbridge.triggers.input.InputTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until there is input, or the deadline has passed."""
        settled = time.monotonic() + self.settle_seconds
        event = await self._polled_event()
        await asyncio.sleep(settled - time.monotonic())
        yield event

    async def _polled_event(self) -> TriggerEvent:
        failures, failing_since = 0, 0.0
        while True:
            try:
                if await asyncio.to_thread(self._holds_objects):
                    return _trigger_event(found=True)
                failures = 0
            except (*TRANSIENT_ERRORS, CredentialsError) as error:
                failing_since = failing_since if failures else time.monotonic()
                failures += 1
                self.log.warning("%s", error)
                lasts = time.monotonic() - failing_since > CREDENTIALS_GRACE_SECONDS
                if isinstance(error, CredentialsError) and lasts:
                    return _trigger_event(error=str(error))
            except AwsError as error:
                return _trigger_event(error=str(error))
            left = self.deadline_at - time.time()
            if left <= 0:
                return _trigger_event()
            seconds = backoff_seconds(failures) if failures else poll_interval(time.time() - self.began_at)
            await asyncio.sleep(min(with_jitter(seconds), left))

    def _holds_objects(self) -> bool:
        from stepbridge.hooks.stepbridge import StepbridgeHook  # here, so that parsing a DAG file does not import boto3

        key = (self.aws_conn_id, self.region_name)
        with self._making_client:
            if key not in self.clients:
                self.clients[key] = StepbridgeHook(*key).s3
            client = self.clients[key]
        try:
            return client.holds_objects(S3Uri.parse(self.uri))
        except CredentialsError:
            self.clients.pop(key, None)  # the next poll reads the connection again
            raise


def _trigger_event(*, found: bool = False, error: str = "") -> TriggerEvent:
    # "fault" is the key that workers of earlier versions read, and triggerers of earlier versions write.
    return TriggerEvent({"found": found, "fault": error})  # type: ignore[no-untyped-call]
