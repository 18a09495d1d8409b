"""ARNs of executions and state machines, taken apart and put together, and S3 URIs.

An execution's ARN follows from its state machine's and its name
(https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html), so an execution can be
described before it is known whether it exists.
"""

from __future__ import annotations

from dataclasses import dataclass

from stepbridge.errors import ConfigurationError


def execution_arn(state_machine: str, execution_name: str) -> str:
    """The ARN of the execution ``execution_name`` of the state machine with the ARN ``state_machine``.

    A version or alias at the end of the state machine's ARN is not part of its executions' ARNs.
    """
    parts = _parts(state_machine, "states", "stateMachine")
    return ":".join([*parts[:5], "execution", parts[6], execution_name])


def state_machine_arn(execution: str) -> str:
    """The ARN of the state machine that the execution with the ARN ``execution`` belongs to."""
    parts = _parts(execution, "states", "execution")
    return ":".join([*parts[:5], "stateMachine", parts[6]])


def region_of(arn: str) -> str:
    """The region in ``arn``; empty for global resources."""
    return _parts(arn)[3]


def _parts(arn: str, service: str = "", resource_type: str = "") -> list[str]:
    parts = arn.split(":")
    fits = len(parts) >= 6 and parts[0] == "arn"
    if fits and service:
        fits = parts[2] == service and parts[5] == resource_type and len(parts) >= 7
    if not fits:
        expected = f"arn:aws:{service}:<region>:<account>:{resource_type}:<name>" if service else "an ARN, arn:aws:…"
        raise ConfigurationError("ARN", repr(arn), expected, "check the value that it was built from")
    return parts


@dataclass(frozen=True)
class S3Uri:
    """``s3://<bucket>/<key>``; the key may be empty."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> S3Uri:
        """Raises ConfigurationError when ``uri`` is not an S3 URI."""
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise ConfigurationError("S3 URI", repr(uri), "s3://<bucket>/<key>")
        return cls(bucket, key)

    def child(self, name: str) -> S3Uri:
        """``name`` below this URI, with one slash between."""
        prefix = self.key.rstrip("/")
        return S3Uri(self.bucket, f"{prefix}/{name}" if prefix else name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"
