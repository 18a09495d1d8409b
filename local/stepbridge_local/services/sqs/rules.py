"""The ranges of SQS's numbers, which its model does not have and moto checks in part.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html and the pages of the
other operations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from stepbridge_local.protocols import ServiceError

__all__ = ["problem_of_numbers"]

# Attributes of queues; texts in requests.
_ATTRIBUTES: Final[Mapping[str, tuple[int, int]]] = {
    "DelaySeconds": (0, 900),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
    "MaximumMessageSize": (1024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
# Members of calls; the same wherever they occur.
_MEMBERS: Final[Mapping[str, tuple[int, int]]] = {
    "DelaySeconds": (0, 900),
    "MaxNumberOfMessages": (1, 10),
    "MaxResults": (1, 1000),
    "VisibilityTimeout": (0, 43_200),
    "WaitTimeSeconds": (0, 20),
}


def problem_of_numbers(members: Mapping[str, Any]) -> ServiceError | None:
    """The error for the first number that is none or out of range; the types of ``members`` are right."""
    attributes = members.get("Attributes") or {}
    for name, (least, most) in _ATTRIBUTES.items():
        text = attributes.get(name)
        if text is not None and not (re.fullmatch(r"\d{1,10}", text, re.ASCII) and least <= int(text) <= most):
            return ServiceError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    for name, (least, most) in _MEMBERS.items():
        number = members.get(name)
        if number is not None and not least <= number <= most:
            text = f"Value {number} for parameter {name} is invalid. Reason: Must be between {least} and {most}"
            return ServiceError("InvalidParameterValue", f"{text}, if provided.")
    return None
