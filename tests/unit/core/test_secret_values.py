"""Secrets are refused in a card, and what only sounds like one is not."""

from __future__ import annotations

import pytest

from stepbridge.core.model_card import parse_card
from stepbridge.core.secret_values import secret_in
from stepbridge.errors import CardError

CARD = "input_uri: s3://bucket/in/\noutput_uri: s3://bucket/out/\n"
ACCESS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("NOTE", f"key {ACCESS_KEY}", "an AWS access key id"),
        ("NOTE", SECRET_KEY, "an AWS secret access key"),
        ("NOTE", "-----BEGIN RSA PRIVATE KEY-----\nMII", "a private key"),
        ("NOTE", "ghp_" + "a1" * 18, "a GitHub token"),
        ("DATABASE_URL", "postgresql://me:hunter2@host/db", "an address with a password"),
        ("DB_PASSWORD", "hunter2", "a secret, by its name"),
        ("DB_PASSWORD", "12345", "a secret, by its name"),
        ("clientSecret", "x", "a secret, by its name"),
        ("API_KEY", "x", "a secret, by its name"),
        ("HF_TOKEN", "hf_abc", "a token, by its name"),
    ],
)
def test_what_looks_like_a_secret(name: str, value: str, what: str) -> None:
    """By the issuer's form, or by the name."""
    assert secret_in(name, value) == what


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD_ARN", "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"),
        ("DB_PASSWORD", "arn:aws:ssm:us-east-1:123456789012:parameter/db/password"),
        ("DB_PASSWORD", "/prod/db/password"),
        ("DB_SECRET_NAME", "prod/db"),
        ("DB_PASSWORD", ""),
        ("MAX_TOKENS", "512"),
        ("TOKEN_COUNT", "512"),
        ("TOKENIZER", "bert-base"),
        ("NEEDS_PASSWORD", "false"),
        ("DATABASE_URL", "postgresql://host/db"),
        ("REVISION", "0123456789abcdef0123456789abcdef01234567"),
        ("DAY", "{{ ds }}"),
        ("PATH_OF", "/opt/ml/processing/input/Abc123/def456/gh"),
    ],
)
def test_what_does_not(name: str, value: str) -> None:
    """References, numbers, digests and paths are what an environment is for."""
    assert secret_in(name, value) is None


def test_a_card_with_secrets_is_refused_without_repeating_them() -> None:
    """All of them at once, each with its place and the way to do it instead; the values stay out of the log."""
    text = CARD + (
        f"environment:\n  DB_PASSWORD: hunter2\n  DAY: '{{{{ ds }}}}'\n  NOTE: {ACCESS_KEY}\n"
        "build_args:\n  PIP_TOKEN: t0ps3cret\n"
    )
    with pytest.raises(CardError) as refused:
        parse_card(text, "dags/models/m.yaml")
    text = str(refused.value)
    assert [problem.where.rsplit(":", 1)[0] for problem in refused.value.problems] == [
        f"dags/models/m.yaml:{line}" for line in (4, 6, 8)
    ]
    assert "environment.DB_PASSWORD looks like a secret" in text
    assert "Secrets Manager" in text
    assert not any(secret in text for secret in ("hunter2", ACCESS_KEY, "t0ps3cret"))
