"""The fields that each type of state has, and what their values are. Pure.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["COMPARISONS", "FIELDS", "JSONATA_ONLY", "JSONPATH_ONLY", "KINDS", "LIMITS", "ONE_OF", "REQUIRED"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ANY: Final = _names("Type Comment QueryLanguage")
_FLOW: Final = _names("Next End Assign")
_IO: Final = _names("InputPath OutputPath Output")
_RESULT: Final = _names("Parameters ResultSelector ResultPath")
_ATTEMPTS: Final = _names("Retry Catch")

# By the type of a state, and of what is in states.
FIELDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "Pass": _ANY | _FLOW | _IO | _names("Parameters Result ResultPath"),
        "Task": _ANY
        | _FLOW
        | _IO
        | _RESULT
        | _ATTEMPTS
        | _names(
            "Resource Arguments Credentials TimeoutSeconds TimeoutSecondsPath HeartbeatSeconds HeartbeatSecondsPath"
        ),
        "Choice": _ANY | _IO | _names("Choices Default Assign"),
        "Wait": _ANY | _FLOW | _IO | _names("Seconds SecondsPath Timestamp TimestampPath"),
        "Succeed": _ANY | _IO,
        "Fail": _ANY | _names("Error ErrorPath Cause CausePath"),
        "Parallel": _ANY | _FLOW | _IO | _RESULT | _ATTEMPTS | _names("Branches Arguments"),
        "Map": _ANY
        | _FLOW
        | _IO
        | _RESULT
        | _ATTEMPTS
        | _names(
            "ItemProcessor Iterator Items ItemsPath ItemSelector ItemReader ItemBatcher ResultWriter Label "
            "MaxConcurrency MaxConcurrencyPath ToleratedFailureCount ToleratedFailureCountPath "
            "ToleratedFailurePercentage ToleratedFailurePercentagePath"
        ),
        "state machine": _names("Comment StartAt States Version TimeoutSeconds QueryLanguage"),
        "Branches": _names("Comment StartAt States"),
        "ItemProcessor": _names("Comment StartAt States ProcessorConfig"),
        "Iterator": _names("Comment StartAt States ProcessorConfig"),
        "ProcessorConfig": _names("Mode ExecutionType"),
        "Retry": _names("ErrorEquals IntervalSeconds MaxAttempts BackoffRate MaxDelaySeconds JitterStrategy Comment"),
        "Catch": _names("ErrorEquals Next ResultPath Assign Output Comment"),
        "ItemReader": _names("Resource Parameters Arguments ReaderConfig"),
        "ReaderConfig": _names(
            "InputType CSVHeaderLocation CSVHeaders CSVDelimiter MaxItems MaxItemsPath ManifestType ItemsPointer "
            "Transformation"
        ),
        "ItemBatcher": _names(
            "MaxItemsPerBatch MaxItemsPerBatchPath MaxInputBytesPerBatch MaxInputBytesPerBatchPath BatchInput"
        ),
        "ResultWriter": _names("Resource Parameters Arguments WriterConfig"),
        "WriterConfig": _names("Transformation OutputType"),
    }
)
REQUIRED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Task": ("Resource",),
        "Choice": ("Choices",),
        "Parallel": ("Branches",),
        "state machine": ("StartAt", "States"),
        "Branches": ("StartAt", "States"),
        "ItemProcessor": ("StartAt", "States"),
        "Iterator": ("StartAt", "States"),
        "Retry": ("ErrorEquals",),
        "Catch": ("ErrorEquals", "Next"),
        "ItemReader": ("Resource",),
    }
)
# Exactly one of these where the first member is True, else at most one.
ONE_OF: Final[Mapping[str, tuple[tuple[bool, tuple[str, ...]], ...]]] = MappingProxyType(
    {
        "Wait": ((True, ("Seconds", "SecondsPath", "Timestamp", "TimestampPath")),),
        "Map": (
            (True, ("ItemProcessor", "Iterator")),
            (False, ("MaxConcurrency", "MaxConcurrencyPath")),
            (False, ("ToleratedFailureCount", "ToleratedFailureCountPath")),
            (False, ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath")),
        ),
        "Task": (
            (False, ("TimeoutSeconds", "TimeoutSecondsPath")),
            (False, ("HeartbeatSeconds", "HeartbeatSecondsPath")),
        ),
        "Fail": ((False, ("Error", "ErrorPath")), (False, ("Cause", "CausePath"))),
        "ReaderConfig": ((False, ("MaxItems", "MaxItemsPath")),),
        "ItemBatcher": (
            (False, ("MaxItemsPerBatch", "MaxItemsPerBatchPath")),
            (False, ("MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath")),
        ),
    }
)
JSONATA_ONLY: Final = _names("Arguments Output Items")
JSONPATH_ONLY: Final = _names(
    "InputPath OutputPath Parameters Result ResultSelector ResultPath ItemsPath SecondsPath TimestampPath ErrorPath "
    "CausePath TimeoutSecondsPath HeartbeatSecondsPath MaxConcurrencyPath ToleratedFailureCountPath "
    "ToleratedFailurePercentagePath MaxItemsPath MaxItemsPerBatchPath MaxInputBytesPerBatchPath"
)
# What a value is. Integers and numbers may be JSONata where that is the language.
_OF_KIND: Final = {
    "String": "Comment StartAt Next Default Resource Error Cause Label Timestamp Version Type",
    "Boolean": "End",
    "Object": "States ItemProcessor Iterator ProcessorConfig ReaderConfig ItemReader ItemBatcher ResultWriter "
    "WriterConfig ResultSelector Credentials Assign",
    "Array": "Choices Branches Retry Catch ErrorEquals CSVHeaders",
    "Integer": "TimeoutSeconds HeartbeatSeconds Seconds MaxConcurrency ToleratedFailureCount MaxItems MaxItemsPerBatch "
    "MaxInputBytesPerBatch IntervalSeconds MaxAttempts MaxDelaySeconds",
    "Number": "ToleratedFailurePercentage BackoffRate",
}
KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {name: kind for kind, names in _OF_KIND.items() for name in _names(names)}
)
LIMITS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "TimeoutSeconds": (1, 99_999_999),
        "HeartbeatSeconds": (1, 99_999_999),
        "Seconds": (0, 99_999_999),
        "IntervalSeconds": (1, 99_999_999),
        "MaxAttempts": (0, 99_999_999),
        "MaxDelaySeconds": (1, 31_622_400),
        "BackoffRate": (1.0, float("inf")),
        "MaxConcurrency": (0, float("inf")),
        "ToleratedFailureCount": (0, float("inf")),
        "ToleratedFailurePercentage": (0.0, 100.0),
        "MaxItems": (0, 100_000_000),
        "MaxItemsPerBatch": (0, float("inf")),
        "MaxInputBytesPerBatch": (0, 262_144),
    }
)
_TYPES: Final = ("String", "Numeric", "Boolean", "Timestamp")
_ORDERS: Final = ("Equals", "GreaterThan", "GreaterThanEquals", "LessThan", "LessThanEquals")
COMPARISONS: Final = (
    frozenset(
        f"{kind}{order}{path}"
        for kind in _TYPES
        for order in (_ORDERS if kind != "Boolean" else ("Equals",))
        for path in ("", "Path")
    )
    | _names("StringMatches IsBoolean IsNull IsNumeric IsPresent IsString IsTimestamp And Or Not Variable")
    | _names("Condition Next Comment Assign Output")
)
