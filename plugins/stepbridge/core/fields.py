"""The fields that card, form and execution input share: defaults, bounds and patterns, each written here once.

The docs' tables are made from them, and a test compares the state machine's defaults with them. Bounds and
patterns are those of https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html. A
validator raises ValueError with the text of what it expects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field

from stepbridge.core.names import STAGES

__all__ = [
    "DEFAULT_INSTANCE_TYPE",
    "DEFAULT_MAX_RUNTIME_SECONDS",
    "DEFAULT_VOLUME_SIZE_GB",
    "INSTANCE_TYPE_PATTERN",
    "MAX_RUNTIME_SECONDS",
    "S3_URI_LENGTH",
    "STAGE_TIMEOUT_MARGIN_SECONDS",
    "URI_TEMPLATE_PATTERN",
    "VOLUME_SIZE_GB",
    "Bounds",
    "Environment",
    "ImageUri",
    "InstanceType",
    "MaxRuntimeSeconds",
    "Prices",
    "ResourceTags",
    "RoleArn",
    "S3Uri",
    "Stages",
    "Strings",
    "UriTemplate",
    "VolumeSizeGb",
    "is_template",
]

DEFAULT_INSTANCE_TYPE: Final = "ml.m5.large"
DEFAULT_VOLUME_SIZE_GB: Final = 30
DEFAULT_MAX_RUNTIME_SECONDS: Final = 3600

STAGE_TIMEOUT_MARGIN_SECONDS: Final = 3600
"""What the state machine gives a stage beyond max_runtime, for starting its job and for stopping it."""


class Bounds(NamedTuple):
    """The smallest and the largest value."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


VOLUME_SIZE_GB: Final = Bounds(1, 16384)
MAX_RUNTIME_SECONDS: Final = Bounds(1, 9 * 24 * 3600)
S3_URI_LENGTH: Final = 1024
IMAGE_URI_LENGTH: Final = 255
ROLE_ARN_LENGTH: Final = 2048
ENVIRONMENT_ENTRIES: Final = 100
ENVIRONMENT_TEXT_LENGTH: Final = 256
TAG_ENTRIES: Final = 45  # SageMaker takes 50; the state machine adds its own
TAG_KEY_LENGTH: Final = 128
TAG_VALUE_LENGTH: Final = 256

# Both are also read by the browser (the form), so they keep to what Python's and JavaScript's patterns have in common.
URI_TEMPLATE_PATTERN: Final = r"(s3://\S|\{[{%]).*"
INSTANCE_TYPE_PATTERN: Final = r"ml\.[a-z][a-z0-9-]*\.([0-9]*x?large|medium|metal)"

_INSTANCE_TYPE = re.compile(INSTANCE_TYPE_PATTERN)
_URI_TEMPLATE = re.compile(URI_TEMPLATE_PATTERN, re.DOTALL)
_S3_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/\S*)?")
_IMAGE_URI = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:-]*(/[a-zA-Z0-9._-]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?")
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_ENVIRONMENT_KEY = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TAG_TEXT = re.compile(r"[\w\s.:/=+@-]*")


def is_template(text: str) -> bool:
    """Whether the text holds a Jinja expression or statement, to be rendered when a task runs."""
    return "{{" in text or "{%" in text


def _s3_uri(uri: str) -> str:
    if is_template(uri):
        raise ValueError("a rendered S3 URI; this one still holds a Jinja expression")
    if len(uri) > S3_URI_LENGTH:
        raise ValueError(f"an S3 URI of at most {S3_URI_LENGTH} characters; this one has {len(uri)}")
    if not _S3_URI.fullmatch(uri):
        raise ValueError("an S3 URI such as s3://bucket/prefix/")
    return uri


def _uri_template(uri: str) -> str:
    if not is_template(uri):
        return _s3_uri(uri)
    if not _URI_TEMPLATE.fullmatch(uri):
        raise ValueError("an S3 URI or a Jinja expression that gives one: it starts with s3:// or {{")
    return uri


def _image_uri(uri: str) -> str:
    if len(uri) > IMAGE_URI_LENGTH:
        raise ValueError(f"an image URI of at most {IMAGE_URI_LENGTH} characters; this one has {len(uri)}")
    if not _IMAGE_URI.fullmatch(uri):
        raise ValueError("an image URI such as 123456789012.dkr.ecr.us-east-1.amazonaws.com/models:tag")
    return uri


def _instance_type(name: str) -> str:
    if not _INSTANCE_TYPE.fullmatch(name):
        raise ValueError(f"a SageMaker instance type such as {DEFAULT_INSTANCE_TYPE}")
    return name


def _role_arn(arn: str) -> str:
    if len(arn) > ROLE_ARN_LENGTH or not _ROLE_ARN.fullmatch(arn):
        raise ValueError("the ARN of an IAM role, such as arn:aws:iam::123456789012:role/name")
    return arn


def _environment_name(name: str) -> str:
    if not _ENVIRONMENT_KEY.fullmatch(name) or len(name) > ENVIRONMENT_TEXT_LENGTH:
        limit = f"at most {ENVIRONMENT_TEXT_LENGTH} letters, digits and underscores, no digit first"
        raise ValueError(f"{limit}, as the name of an environment variable")
    return name


def _environment_value(value: str) -> str:
    if len(value) > ENVIRONMENT_TEXT_LENGTH:
        raise ValueError(f"at most {ENVIRONMENT_TEXT_LENGTH} characters; this one has {len(value)}")
    return value


def _environment_size(environment: dict[str, str]) -> dict[str, str]:
    if len(environment) > ENVIRONMENT_ENTRIES:
        raise ValueError(f"at most {ENVIRONMENT_ENTRIES} entries; this one has {len(environment)}")
    return environment


def _tag_key(key: str) -> str:
    if not 1 <= len(key) <= TAG_KEY_LENGTH or not _TAG_TEXT.fullmatch(key) or key.lower().startswith("aws:"):
        limit = f"1 to {TAG_KEY_LENGTH} letters, digits, blanks and _.:/=+-@"
        raise ValueError(f"{limit}, not beginning with aws:, as the key of a tag")
    return key


def _tag_value(value: str) -> str:
    if len(value) > TAG_VALUE_LENGTH or not _TAG_TEXT.fullmatch(value):
        raise ValueError(f"at most {TAG_VALUE_LENGTH} letters, digits, blanks and _.:/=+-@ as the value of a tag")
    return value


def _tags_size(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > TAG_ENTRIES:
        raise ValueError(f"at most {TAG_ENTRIES} tags; this one has {len(tags)}")
    return tags


def _as_tuple(value: Any) -> Any:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise ValueError("a list of strings")
    return tuple(value)


def _stages(stages: tuple[str, ...]) -> tuple[str, ...]:
    known = ", ".join(STAGES)
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        raise ValueError(f"stages among {known}, not {', '.join(map(repr, unknown))}")
    if not stages:
        raise ValueError(f"at least one stage of {known}")
    if len(set(stages)) < len(stages):
        raise ValueError("each stage once")
    return tuple(stage for stage in STAGES if stage in stages)


def _plain_mapping(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
"""A list of strings, kept as a tuple."""

Stages = Annotated[tuple[str, ...], AfterValidator(_stages), BeforeValidator(_as_tuple)]
"""A non-empty subset of the stages, put into the order in which they run."""

S3Uri = Annotated[str, AfterValidator(_s3_uri)]
"""A rendered S3 URI of at most ``S3_URI_LENGTH`` characters."""

UriTemplate = Annotated[str, AfterValidator(_uri_template)]
"""An S3 URI or a Jinja template of one. Of a template only the beginning is checked; what it renders to is an S3Uri."""

ImageUri = Annotated[str, AfterValidator(_image_uri)]
"""An image URI of at most ``IMAGE_URI_LENGTH`` characters."""

InstanceType = Annotated[str, AfterValidator(_instance_type)]
"""A SageMaker instance type by its form. Only SageMaker knows which types exist, and where."""

RoleArn = Annotated[str, AfterValidator(_role_arn)]
"""The ARN of an IAM role."""

VolumeSizeGb = Annotated[int, Field(ge=VOLUME_SIZE_GB.low, le=VOLUME_SIZE_GB.high)]
"""The size of each job's volume in GB."""

MaxRuntimeSeconds = Annotated[int, Field(ge=MAX_RUNTIME_SECONDS.low, le=MAX_RUNTIME_SECONDS.high)]
"""The maximum runtime of each job in seconds."""

Prices = dict[InstanceType, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
"""The price of an instance hour by instance type, all in one currency."""

Environment = Annotated[
    dict[
        Annotated[str, AfterValidator(_environment_name)],
        Annotated[str, AfterValidator(_environment_value)],
    ],
    AfterValidator(_environment_size),
    BeforeValidator(_plain_mapping),
]
"""A container's environment: at most ``ENVIRONMENT_ENTRIES``; ``ENVIRONMENT_TEXT_LENGTH`` limits names and values."""

ResourceTags = Annotated[
    dict[Annotated[str, AfterValidator(_tag_key)], Annotated[str, AfterValidator(_tag_value)]],
    AfterValidator(_tags_size),
    BeforeValidator(_plain_mapping),
]
"""Tags of an AWS resource, for cost allocation."""
