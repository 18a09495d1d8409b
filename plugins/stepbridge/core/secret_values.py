"""Values of a card that look like secrets: a card is in version control, and its values are in execution inputs.

As in secret scanners, a value is judged by the format of known keys, and by a name that people give to passwords.
"""

import re
from typing import Final

REMEDY: Final = (
    "keep it in AWS Secrets Manager or as an SSM SecureString parameter, give its ARN or name here (DB_PASSWORD_ARN: "
    "arn:aws:secretsmanager:…), let the script read it with boto3, and allow the processing role to; and since it was "
    "written down, replace it with a new one"
)

_FORMS: Final = (
    ("an AWS access key id", re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    ("a GitHub token", re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,})")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[\w-]{10,}")),
    ("a secret API key", re.compile(r"\b(sk|rk)[-_](live|proj|ant)[-_][\w-]{10,}")),
    ("a JSON web token", re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+")),
    ("an address with a password", re.compile(r"://[^/\s:@{}]+:[^/\s@{}]+@")),
)
_AWS_SECRET_KEY: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9/+]{40}")
_PASSWORD_NAME: Final = re.compile(r"(?i)passw(or)?d|passphrase|secret|credential|private_?key|api_?key|access_?key")
_TOKEN_NAME: Final = re.compile(r"(?i)(^|_)token($|_)")
_REFERENCE_NAME: Final = re.compile(r"(?i)_(arn|name|id|path|file|uri|url|parameter|ref)$")
_REFERENCE: Final = re.compile(r"arn:[\w-]+:(secretsmanager|ssm|kms):\S+|/[\w./-]+|\{\{.*\}\}", re.DOTALL)
_NO_SECRET: Final = re.compile(r"(?i)[\d.]*|true|false|none")


def secret_in(name: str, value: str) -> str | None:
    """What secret ``value``, under ``name``, looks like, such as "an AWS access key id"; None if like none."""
    for what, form in _FORMS:
        if form.search(value):
            return what
    if _REFERENCE.fullmatch(value) or not value:
        return None
    if _AWS_SECRET_KEY.fullmatch(value) and not value.startswith("/"):
        return "an AWS secret access key"
    if _REFERENCE_NAME.search(name):
        return None
    if _PASSWORD_NAME.search(name) and value.lower() not in ("true", "false"):
        return "a secret, by its name"
    if _TOKEN_NAME.search(name) and not _NO_SECRET.fullmatch(value):
        return "a token, by its name"
    return None
