"""A missing permission: who lacks which IAM statement, read from AWS's error message, and the text that says so.

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
    action: str = ""
    resource: str = ""

    @property
    def remedy(self) -> str:
        """What to do about it, as a sentence without its end."""
        if self.explicit:
            return (
                "A Deny statement of a policy is in the way, which no other statement overrules: find the one that "
                f"keeps {self.who} from {self.statement}"
            )
        return (
            f"A permission is missing: add {self.statement} to a policy of {self.who}, or run 'stepbridge deploy' "
            "again if the stack's roles were changed by hand"
        )


def denial_in(text: str, partition: str = "aws") -> Denial | None:
    """The first denial in ``text``, or None. ``partition`` is that of a bucket that has only its name there."""
    match = _DENIED.search(text)
    if match:
        who = _ROLE_SESSION.sub(r"role \g<role>", match["who"])
        resource = (match["resource"] or "*").rstrip(".,;")
        action = match["action"]
        return Denial(who, statement(action, resource), "explicit deny" in match["why"], action, resource)
    place = _S3_URI.search(text)
    if place and text.startswith("ClientError") and _DOWNLOAD_DENIED.search(text):
        bucket = f"arn:{partition}:s3:::{place['bucket']}"
        return Denial("the processing role", statement(["s3:GetObject", "s3:ListBucket"], [bucket, f"{bucket}/*"]))
    return None


def statement(action: str | list[str], resource: str | list[str]) -> str:
    """The statement that allows ``action`` on ``resource``, as JSON in one line."""
    allowed: dict[str, object] = {"Effect": "Allow", "Action": action, "Resource": resource}
    if action == "iam:PassRole":
        allowed["Condition"] = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    return json.dumps(allowed)
