"""SNS: moto's topics, which refuse what AWS's refuse.

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

from __future__ import annotations

import json
from typing import Any, Final

from stepbridge_local.services.moto.application import MotoApplication

__all__ = ["install"]

PROTOCOLS: Final = frozenset(
    {"http", "https", "email", "email-json", "sms", "sqs", "application", "lambda", "firehose"}
)
MAXIMUM_BYTES: Final = 262_144


def install(application: MotoApplication) -> None:
    """Take effect with the first request."""
    application.before_first_request(_install, "sns")


def _install() -> None:
    from moto.sns.exceptions import SNSInvalidParameter
    from moto.sns.models import SNSBackend

    from stepbridge_local.services.moto.replacement import replace

    moto_publish, moto_subscribe, moto_create = SNSBackend.publish, SNSBackend.subscribe, SNSBackend.create_topic

    def publish(self: SNSBackend, message: str, arn: str | None, *args: Any, **kwargs: Any) -> Any:
        """Refuse messages that AWS refuses, and topics that do not exist, which moto takes for endpoints."""
        problem = _problem_of(message, kwargs.get("message_structure"))
        if problem:
            raise SNSInvalidParameter(f"Invalid parameter: {problem}")
        if arn and arn.count(":") == 5:
            self.get_topic(arn)
        return moto_publish(self, message, arn, *args, **kwargs)

    def subscribe(self: SNSBackend, topic_arn: str, endpoint: str, protocol: str) -> Any:
        if protocol not in PROTOCOLS:
            raise SNSInvalidParameter(f"Invalid parameter: Does not support this protocol string: {protocol}")
        return moto_subscribe(self, topic_arn, endpoint, protocol)

    def create_topic(self: SNSBackend, name: str, attributes: Any = None, tags: Any = None) -> Any:
        """The existing topic of that name, if its attributes are not other ones."""
        arn = f"arn:{self.partition}:sns:{self.region_name}:{self.account_id}:{name}"
        existing = self.topics.get(arn)
        if existing is not None and _differ(existing, attributes or {}):
            raise SNSInvalidParameter(
                "Invalid parameter: Attributes Reason: Topic already exists with different attributes"
            )
        return existing or moto_create(self, name, attributes, tags)

    replace(SNSBackend, "publish", publish)
    replace(SNSBackend, "subscribe", subscribe)
    replace(SNSBackend, "create_topic", create_topic)


def _problem_of(message: str, structure: str | None) -> str | None:
    if not message:
        return "Empty message"
    if len(message.encode()) > MAXIMUM_BYTES:
        return "Message too long"
    if structure == "json":
        try:
            document = json.loads(message)
        except ValueError:
            return "Message Structure - JSON message body failed to parse"
        if not isinstance(document, dict) or "default" not in document:
            return "Message Structure - No default entry in JSON message body"
    return None


_NAMES: Final = {"DisplayName": "display_name", "KmsMasterKeyId": "kms_master_key_id"}


def _differ(topic: Any, attributes: dict[str, str]) -> bool:
    return any(
        name in attributes and (getattr(topic, attribute, None) or "") != attributes[name]
        for name, attribute in _NAMES.items()
    )
