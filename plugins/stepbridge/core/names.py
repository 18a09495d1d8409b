"""Names of executions, Processing jobs and image tags, with their lengths and alphabets.

All are deterministic: the same values give the same name, so that a retry finds what an earlier try started.
"""

import hashlib
import re
from typing import Final

from stepbridge.errors import ConfigurationError

STAGES: Final[tuple[str, ...]] = ("preprocessing", "inference", "postprocessing")
"""The stages, in the order in which they run."""

# https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
EXECUTION_NAME_LENGTH: Final = 80
EXECUTION_TOKEN_BYTES: Final = 8  # of randomness: two task instances of the same name anywhere never share one
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
JOB_NAME_LENGTH: Final = 63
IMAGE_TAG_LENGTH: Final = 128  # the OCI distribution specification
IMAGE_TAG_DIGITS: Final = 16
DIGEST_DIGITS: Final = 12  # 48 bits: a million runs of one model collide with a chance of one in 500
MODEL_HEAD_LENGTH: Final = 40

_NOT_ALPHANUMERIC = re.compile(r"[^a-zA-Z0-9]+")
_NOT_EXECUTION_NAME = re.compile(r"[^a-zA-Z0-9_]+")
_HEX = re.compile(r"[0-9a-f]{16,}")
_IMAGE_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")


def execution_name(model: str, run_id: str, token: str, number: int) -> str:
    """The execution's name: ``<model>-<run>-<token>-<number>``, at most 80 of ``[A-Za-z0-9_-]``.

    The head is for people and may be shortened. ``token`` is the task instance's own, ``EXECUTION_TOKEN_BYTES`` in hex;
    ``number`` counts its executions from 0.
    """
    model_part = _readable(model, MODEL_HEAD_LENGTH)
    tail = f"{token}-{number}"
    run_part = _readable(run_id, EXECUTION_NAME_LENGTH - len(tail) - 2 - len(model_part))
    return "-".join(part for part in (model_part, run_part, tail) if part)


def _readable(text: str, length: int) -> str:
    return _NOT_EXECUTION_NAME.sub("-", text).strip("-_")[:length].rstrip("-_")


def job_name(execution_arn: str, execution_name: str, stage: str, redrive: int, retry: int) -> str:
    """The Processing job's name: ``sb-<execution>-<stage>-<redrive>-<retry>-<12 hex>``, at most 63 of ``[A-Za-z0-9-]``.

    The digest is of the execution's ARN; the execution's part is shortened to what is left. ``retry`` is
    ``100 * attempts + RetryCount``: attempts are the state machine's own rounds after a failed job, RetryCount is
    Step Functions' count of the Task's retries. ``asl/batch_inference.asl.json`` computes the same name; a name
    is never used twice, because SageMaker would answer ResourceInUse and hide the first failure.
    """
    digest = hashlib.sha256(execution_arn.encode("utf-8")).hexdigest()[:DIGEST_DIGITS]
    tail = f"-{stage}-{redrive}-{retry}-{digest}"
    head = "sb-" + _NOT_ALPHANUMERIC.sub("-", execution_name)
    return head[: JOB_NAME_LENGTH - len(tail)] + tail


def image_tag(model: str, digest: str) -> str:
    """The tag of the model's image: ``<model>-<first 16 digits of the build context's digest>``.

    Raises ConfigurationError when the result is not a tag.
    """
    if not _HEX.fullmatch(digest):
        raise ConfigurationError(f"image of {model}", f"digest {digest!r}", "at least 16 lower-case hexadecimal digits")
    tag = f"{model}-{digest[:IMAGE_TAG_DIGITS]}"
    if not _IMAGE_TAG.fullmatch(tag):
        expected = f"{IMAGE_TAG_LENGTH} of [A-Za-z0-9_.-] at most"
        raise ConfigurationError(f"image of {model}", f"tag {tag!r}", expected, "rename the model")
    return tag
