"""SQS: messages received, deleted and made visible again.

API: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stepbridge.aws.calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH_SIZE: Final = 10


@dataclass(frozen=True)
class Message:
    """A message as it was received. ``receive_count`` is how often, this time included; approximate."""

    body: str
    receive_count: int
    receipt_handle: str = field(repr=False)


class Sqs:
    """Queues through one boto3 client. Every method raises ``AwsError``.

    An error names the queue by its URL, unless AWS's own message names its ARN.
    """

    def __init__(self, client: SQSClient) -> None:
        self._client = client

    def receive(self, queue_url: str, wait_seconds: int, hidden_seconds: int) -> list[Message]:
        """At most 10 messages, as soon as there is one; none after ``wait_seconds`` (0 to 20).

        Nobody else receives them for ``hidden_seconds``. Raises NotFoundError when there is no such queue.
        """
        with aws_call("sqs:ReceiveMessage", queue_url):
            answer = self._client.receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=BATCH_SIZE,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=hidden_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Message(
                body=message["Body"],
                receive_count=int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1")),
                receipt_handle=message["ReceiptHandle"],
            )
            for message in answer.get("Messages", [])
        ]

    def delete(self, queue_url: str, messages: Sequence[Message]) -> list[str]:
        """Delete at most 10 messages; the errors of those that were not deleted, which will be received again."""
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": message.receipt_handle} for number, message in enumerate(messages)
        ]
        with aws_call("sqs:DeleteMessage", queue_url):
            answer = self._client.delete_message_batch(QueueUrl=queue_url, Entries=entries)
        return _failures(answer)

    def hand_back(self, queue_url: str, messages: Sequence[tuple[Message, int]]) -> list[str]:
        """Let at most 10 messages be received again after their seconds; the errors of those for which that failed."""
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": seconds}
            for number, (message, seconds) in enumerate(messages)
        ]
        with aws_call("sqs:ChangeMessageVisibility", queue_url):
            answer = self._client.change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)
        return _failures(answer)


def _failures(answer: Mapping[str, Any]) -> list[str]:
    return [f"{one['Code']}: {one.get('Message', '')}" for one in answer.get("Failed", [])]
