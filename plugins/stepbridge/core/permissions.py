"""The IAM statement that is missing, read from AWS's error message.

The messages: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

_DENIED: Final = re.compile(
    r"(?P<who>arn:\S+|\S+) is not authorized to perform:? (?P<action>[\w-]+:[\w*]+)"
    r"(?: on resource:? \"?(?P<resource>[^\s\"]+)\"?)?(?P<why>[^\n]*)"
)
_DOWNLOAD_DENIED: Final = re.compile(r"(?i)(access ?denied|forbidden|\b403\b)")
_S3_URI: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]+)(?P<key>/[^\s\"',]*)?")
_ROLE_SESSION: Final = re.compile(r"arn:[\w-]+:sts::\d+:assumed-role/(?P<role>[^/]+)/.*")


@dataclass(frozen=True)
class Denial:
    """What was denied. ``who`` is a role's name where AWS gives one; ``explicit``: by a Deny statement."""

    who: str
    statement: str
    explicit: bool = False


def denial_in(text: str, partition: str = "aws") -> Denial | None:
    """The first denial in ``text``, or None. ``partition`` is that of a bucket that has only its name there."""
    match = _DENIED.search(text)
    if match:
        who = _ROLE_SESSION.sub(r"role \g<role>", match["who"])
        resource = (match["resource"] or "*").rstrip(".,;")
        return Denial(who, statement(match["action"], resource), "explicit deny" in match["why"])
    place = _S3_URI.search(text)
    if place and text.startswith("ClientError") and _DOWNLOAD_DENIED.search(text):
        bucket = f"arn:{partition}:s3:::{place['bucket']}"
        return Denial("the processing role", _as_json(["s3:GetObject", "s3:ListBucket"], [bucket, f"{bucket}/*"]))
    return None


def statement(action: str, resource: str) -> str:
    """The statement that allows ``action`` on ``resource``, as JSON in one line."""
    condition = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    return _as_json(action, resource, **({"Condition": condition} if action == "iam:PassRole" else {}))


def _as_json(action: str | list[str], resource: str | list[str], **more: object) -> str:
    return json.dumps({"Effect": "Allow", "Action": action, "Resource": resource, **more})
