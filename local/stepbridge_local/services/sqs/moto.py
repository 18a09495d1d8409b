"""SQS: moto's queues, whose messages vanish at the end of the retention period as on AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepbridge_local.services.moto.application import MotoApplication

if TYPE_CHECKING:
    from moto.sqs.models import Message, Queue

__all__ = ["install"]


def install(application: MotoApplication) -> None:
    """Take effect with the first request."""
    application.before_first_request(_install, "sqs")


def _install() -> None:
    from moto.sqs.models import Queue

    from stepbridge_local.services.moto.replacement import replace

    replace(Queue, "messages", property(_messages))


def _messages(queue: Queue) -> list[Message]:
    """Replaces Queue.messages: what can be received now.

    moto keeps a message for ever after its retention period, and marks it as received again and again. Meanwhile the
    messages after it cannot be received.
    """
    from moto.core.utils import unix_time_millis

    oldest = unix_time_millis() - int(queue.message_retention_period) * 1000  # type: ignore[attr-defined]
    with queue._messages_lock:
        kept = [message for message in queue._messages if (message.sent_timestamp or 0.0) > oldest]
        if len(kept) < len(queue._messages):
            queue._messages = kept
            queue._pending_messages.intersection_update(kept)
        return [message for message in queue._messages if message.visible and not message.delayed]
