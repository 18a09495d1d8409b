"""The fields that card, form and execution input share: their types, patterns and lengths, each written here once.

They are those of https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html. A
validator raises ValueError with the text of what it expects.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from stepbridge.core import defaults
from stepbridge.core.names import STAGES

S3_URI_LENGTH: Final = 1024
IMAGE_URI_LENGTH: Final = 255
ROLE_ARN_LENGTH: Final = 2048
ENVIRONMENT_ENTRIES: Final = 100
ENVIRONMENT_TEXT_LENGTH: Final = 256
TAG_ENTRIES: Final = 45  # SageMaker takes 50; the state machine adds its own
TAG_KEY_LENGTH: Final = 128
TAG_VALUE_LENGTH: Final = 256
PARAM_LENGTH: Final = 200

FORM_KEYS: Final = ("input_uri", "output_uri", "instance_type", "volume_size", "max_runtime", "stages")
"""The parameters of a run that become keys of its execution input."""

# JSON Schema's patterns in the form, so they keep to what Python's and JavaScript's have in common.
URI_TEMPLATE_PATTERN: Final = r"(s3://\S|\{[{%]).*"
INSTANCE_TYPE_PATTERN: Final = r"ml\.[a-z][a-z0-9-]*\.([0-9]*x?large|medium|metal)"

# By words, which Airflow shows where a value of the form does not match.
FORM_FORMATS: Final = {
    "S3 URI such as s3://bucket/prefix/, or an expression that gives one": URI_TEMPLATE_PATTERN,
    f"SageMaker instance type such as {defaults.DEFAULT_INSTANCE_TYPE}": INSTANCE_TYPE_PATTERN,
}
URI_FORMAT, INSTANCE_TYPE_FORMAT = FORM_FORMATS


def has_form_format(form_format: str, value: object) -> bool:
    """Whether a text of the form is what one of ``FORM_FORMATS`` says; other values have a type of their own."""
    return not isinstance(value, str) or bool(re.fullmatch(FORM_FORMATS[form_format], value, re.DOTALL))


_URI_TEMPLATE = re.compile(URI_TEMPLATE_PATTERN, re.DOTALL)
_S3_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/\S*)?")


def matching(pattern: str, expected: str, length: int | None = None) -> AfterValidator:
    """Takes a text that the whole ``pattern`` matches, of at most ``length`` characters."""
    form = re.compile(pattern)

    def check(text: str) -> str:
        if not form.fullmatch(text) or (length is not None and len(text) > length):
            raise ValueError(expected)
        return text

    return AfterValidator(check)


def _at_most(limit: int, expected: str) -> AfterValidator:
    """Takes a text of at most ``limit`` characters or a mapping of at most ``limit`` entries."""

    def check(value: Any) -> Any:
        if len(value) > limit:
            raise ValueError(f"{expected}; this one has {len(value)}")
        return value

    return AfterValidator(check)


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


def overlap(input_uri: str, output_uri: str) -> str | None:
    """What is wrong when one of two URIs, or of their templates, lies in the other; None if neither does.

    An input is every key that begins like its URI, as SageMaker's S3Prefix is; an output is a folder.
    """
    output_folder = output_uri.rstrip("/") + "/"
    if input_uri.startswith("s3://") and input_uri.count("/") == 2:
        input_uri += "/"  # a bucket
    if output_folder.startswith(input_uri):
        return f"output_uri {output_uri} lies in input_uri {input_uri}, so a run would read what runs before it wrote"
    if input_uri.startswith(output_folder):
        return f"input_uri {input_uri} lies in output_uri {output_uri}, so a run would write beside its input"
    return None


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


def _params(params: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    for name, values in params.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", name) or name in FORM_KEYS:
            raise ValueError(f"names of lower-case letters, digits and _, none of {', '.join(FORM_KEYS)}; not {name!r}")
        if not values or max(map(len, values)) > PARAM_LENGTH:
            raise ValueError(f"at least one value for each, of at most {PARAM_LENGTH} characters")
    return params


_plain_mapping = BeforeValidator(lambda value: dict(value) if isinstance(value, Mapping) else value)

Strings = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
"""A list of strings, kept as a tuple."""

Tags = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=100)], ...], BeforeValidator(_as_tuple)]
"""Tags of a DAG, as long as Airflow takes them."""

Stages = Annotated[Strings, AfterValidator(_stages)]
"""A non-empty subset of the stages, put into the order in which they run."""

Params = Annotated[dict[str, Strings], AfterValidator(_params)]
"""Further parameters of a run: the values that the form offers, by name."""

S3Uri = Annotated[str, AfterValidator(_s3_uri)]
"""A rendered S3 URI of at most ``S3_URI_LENGTH`` characters."""

UriTemplate = Annotated[str, AfterValidator(_uri_template)]
"""An S3 URI or a Jinja template of one. Of a template only the beginning is checked; what it renders to is an S3Uri."""

ImageUri = Annotated[
    str,
    _at_most(IMAGE_URI_LENGTH, f"an image URI of at most {IMAGE_URI_LENGTH} characters"),
    matching(
        r"[a-zA-Z0-9][a-zA-Z0-9._:-]*(/[a-zA-Z0-9._-]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
        "an image URI such as 123456789012.dkr.ecr.us-east-1.amazonaws.com/models:tag",
    ),
]

InstanceType = Annotated[
    str, matching(INSTANCE_TYPE_PATTERN, f"a SageMaker instance type such as {defaults.DEFAULT_INSTANCE_TYPE}")
]
"""A SageMaker instance type by its form. Only SageMaker knows which types exist, and where."""

RoleArn = Annotated[
    str,
    matching(
        r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+",
        "the ARN of an IAM role, such as arn:aws:iam::123456789012:role/name",
        ROLE_ARN_LENGTH,
    ),
]

VolumeSizeGb = Annotated[int, Field(ge=defaults.VOLUME_SIZE_GB.low, le=defaults.VOLUME_SIZE_GB.high)]
MaxRuntimeSeconds = Annotated[int, Field(ge=defaults.MAX_RUNTIME_SECONDS.low, le=defaults.MAX_RUNTIME_SECONDS.high)]

RetrySeconds = Annotated[int, Field(ge=defaults.RETRY_SECONDS.low, le=defaults.RETRY_SECONDS.high)]
RunSeconds = Annotated[int, Field(ge=1, le=defaults.LONGEST_RUN_SECONDS)]

Prices = dict[InstanceType, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
"""The price of an instance hour by instance type, all in one currency."""

_EnvironmentName = Annotated[
    str,
    matching(
        r"[a-zA-Z_][a-zA-Z0-9_]*",
        f"at most {ENVIRONMENT_TEXT_LENGTH} letters, digits and underscores, no digit first, as the name of an "
        "environment variable",
        ENVIRONMENT_TEXT_LENGTH,
    ),
]
_EnvironmentValue = Annotated[str, _at_most(ENVIRONMENT_TEXT_LENGTH, f"at most {ENVIRONMENT_TEXT_LENGTH} characters")]
Environment = Annotated[
    dict[_EnvironmentName, _EnvironmentValue],
    _at_most(ENVIRONMENT_ENTRIES, f"at most {ENVIRONMENT_ENTRIES} entries"),
    _plain_mapping,
]
"""A container's environment: at most ``ENVIRONMENT_ENTRIES``; ``ENVIRONMENT_TEXT_LENGTH`` limits names and values."""

_TagKey = Annotated[
    str,
    matching(
        r"(?!(?i:aws:))[\w\s.:/=+@-]+",
        f"1 to {TAG_KEY_LENGTH} letters, digits, blanks and _.:/=+-@, not beginning with aws:, as the key of a tag",
        TAG_KEY_LENGTH,
    ),
]
_TagValue = Annotated[
    str,
    matching(
        r"[\w\s.:/=+@-]*",
        f"at most {TAG_VALUE_LENGTH} letters, digits, blanks and _.:/=+-@ as the value of a tag",
        TAG_VALUE_LENGTH,
    ),
]
ResourceTags = Annotated[dict[_TagKey, _TagValue], _at_most(TAG_ENTRIES, f"at most {TAG_ENTRIES} tags"), _plain_mapping]
"""Tags of an AWS resource, for cost allocation."""
