"""When a presigned address ends. moto serves it for ever.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

__all__ = ["refusal_of_expired"]

Answer = tuple[int, dict[str, str], str]


def refusal_of_expired(query: Mapping[str, str], now: datetime) -> Answer | None:
    """S3's answer to a presigned request whose time is over; None to any other request."""
    try:
        end = _end(query)
    except ValueError:  # ``rules`` refuses it
        return None
    except (OverflowError, OSError):  # beyond the year 9999
        return None
    if end is None or now < end:
        return None
    moments = f"<Expires>{_iso(end)}</Expires><ServerTime>{_iso(now)}</ServerTime>"
    error = f"<Error><Code>AccessDenied</Code><Message>Request has expired</Message>{moments}</Error>"
    return 403, {"content-type": "application/xml"}, f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'


def _end(query: Mapping[str, str]) -> datetime | None:
    """Of either kind of signature: version 2 names the end, version 4 a beginning and the seconds from there."""
    if "X-Amz-Signature" in query and "X-Amz-Date" in query:
        begin = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return begin + timedelta(seconds=int(query.get("X-Amz-Expires", "")))
    if "Signature" in query and "Expires" in query:
        return datetime.fromtimestamp(int(query["Expires"]), UTC)
    return None


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
