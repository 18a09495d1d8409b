"""What SNS refuses, in AWS's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.mark.parametrize(
    ("operation", "members", "code", "text"),
    [
        ("publish", {"Message": ""}, "InvalidParameter", "Invalid parameter: Empty message"),
        (
            "publish",
            {"Message": "{}", "MessageStructure": "json"},
            "InvalidParameter",
            "No default entry in JSON message body",
        ),
        (
            "publish",
            {"Message": "{", "MessageStructure": "json"},
            "InvalidParameter",
            "JSON message body failed to parse",
        ),
        ("publish", {"Message": "x" * 262_145}, "InvalidParameter", "Message too long"),
        ("publish", {"Message": "x", "TopicArn": "TOPIC-none"}, "NotFound", "Topic does not exist"),
        (
            "subscribe",
            {"Protocol": "fax", "Endpoint": "1"},
            "InvalidParameter",
            "Does not support this protocol string: fax",
        ),
    ],
)
def test_refusals(
    client: Callable[..., Any], name: str, operation: str, members: dict[str, Any], code: str, text: str
) -> None:
    """Error name and text."""
    sns = client("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    members = {"TopicArn": topic, **members}
    members["TopicArn"] = members["TopicArn"].replace("TOPIC", topic)
    with pytest.raises(ClientError, match=text) as caught:
        getattr(sns, operation)(**members)
    assert caught.value.response["Error"]["Code"] == code


def test_a_topic_is_created_once(client: Callable[..., Any], name: str) -> None:
    """Again with the same attributes or none: the same topic. With others: refused."""
    sns = client("sns")
    first = sns.create_topic(Name=name, Attributes={"DisplayName": "a"})["TopicArn"]
    assert sns.create_topic(Name=name, Attributes={"DisplayName": "a"})["TopicArn"] == first
    assert sns.create_topic(Name=name)["TopicArn"] == first
    with pytest.raises(ClientError, match="Topic already exists with different attributes"):
        sns.create_topic(Name=name, Attributes={"DisplayName": "b"})
    assert sns.get_topic_attributes(TopicArn=first)["Attributes"]["DisplayName"] == "a"
