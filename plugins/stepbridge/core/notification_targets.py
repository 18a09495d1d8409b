"""The targets of a card's ``notify``: SNS topics, e-mail addresses and Slack channels. Pure."""

import re
from typing import Final, Literal

Channel = Literal["sns", "email", "slack"]

# https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html, https://api.slack.com/docs/conversations-api
_PATTERNS: Final[dict[Channel, re.Pattern[str]]] = {
    "sns": re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?", re.ASCII),
    "email": re.compile(r"[^\s@<>,;:\"{}%]+@[^\s@<>,;:\"{}%]+\.[^\s@<>,;:\"{}%]+"),
    "slack": re.compile(r"slack:#?[a-z0-9][a-z0-9._-]{0,79}", re.IGNORECASE | re.ASCII),
}


def channel_of(target: str) -> Channel:
    """The channel through which the target is notified. Raises ValueError with what is expected."""
    for channel, pattern in _PATTERNS.items():
        if pattern.fullmatch(target):
            return channel
    raise ValueError("the ARN of an SNS topic, an e-mail address, or slack:#channel")
