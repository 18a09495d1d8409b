"""Which endpoints are AWS's own, so that links lead to its console."""

from __future__ import annotations

import pytest

from stepbridge.hooks.stepbridge import StepbridgeHook

SERVICES = ("s3", "stepfunctions", "codebuild")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")


@pytest.mark.parametrize("dual_stack", ["false", "true"])
@pytest.mark.parametrize("region", ["eu-west-1", "us-gov-west-1", "cn-north-1"])
def test_aws_has_its_own_domains_in_each_partition(
    region: str, dual_stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that answer over IPv6."""
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", dual_stack)
    hook = StepbridgeHook(None, region)
    assert [hook.local_endpoint(service) for service in SERVICES] == [None] * len(SERVICES)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:4566", "http://local-aws:4566", "https://amazonaws.com.example"]
)
def test_any_other_endpoint_is_a_local_one(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it was configured."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert StepbridgeHook(None, "cn-north-1").local_endpoint("s3") == endpoint
