"""Parses image URIs of ECR."""

from __future__ import annotations

import re
from typing import Final

from stepbridge_local.protocols import Scope, ServiceError

__all__ = ["ImageUri"]

_URI: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/(?P<name>[a-z0-9][a-z0-9._/-]*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class ImageUri:
    """The parts of an image URI. ``tag`` is ``latest`` if the URI has neither a tag nor a digest.

    Raises ServiceError InvalidParameterException.
    """

    def __init__(self, uri: str) -> None:
        match = _URI.fullmatch(uri)
        if match is None:
            raise ServiceError(
                "InvalidParameterException",
                f"{uri}: not an image URI of ECR, <account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>",
            )
        self.text = uri
        self.scope = Scope(match["account"], match["region"])
        self.repository_name = match["name"]
        self.digest: str | None = match["digest"]
        self.tag: str | None = match["tag"] or (None if self.digest else "latest")
