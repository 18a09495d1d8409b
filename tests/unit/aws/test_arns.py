"""ARNs and S3 URIs taken apart and put together."""

from __future__ import annotations

import pytest

from stepbridge.aws.arns import S3Uri, execution_arn, region_of, state_machine_arn
from stepbridge.errors import ConfigurationError

MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:batch"


@pytest.mark.parametrize("machine", [MACHINE, f"{MACHINE}:3", f"{MACHINE}:PROD"])
def test_an_execution_arn_follows_from_machine_and_name(machine: str) -> None:
    """Versions and aliases of a state machine share their executions' names."""
    arn = execution_arn(machine, "run-1")
    assert arn == "arn:aws:states:eu-west-1:123456789012:execution:batch:run-1"
    assert state_machine_arn(arn) == MACHINE
    assert region_of(arn) == "eu-west-1"


@pytest.mark.parametrize("text", ["", "batch", MACHINE, "arn:aws:s3:::bucket/key"])
def test_what_is_no_execution_arn_is_refused(text: str) -> None:
    """A wrong ARN is named before AWS is asked."""
    with pytest.raises(ConfigurationError, match="expected arn:aws:states:<region>:<account>:execution:<name>"):
        state_machine_arn(text)


def test_s3_uris_keep_one_slash_between_their_parts() -> None:
    """Prefixes come with and without a slash at the end."""
    assert str(S3Uri.parse("s3://bucket/a/b/").child("c")) == "s3://bucket/a/b/c"
    assert str(S3Uri.parse("s3://bucket").child("c")) == "s3://bucket/c"
    with pytest.raises(ConfigurationError, match="expected s3://<bucket>/<key>"):
        S3Uri.parse("https://bucket/key")
