"""Names of images in ECR and in the engine, which uses the registry on a loopback port.

``<account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>`` is
``127.0.0.1:<port>/<account>/<region>/<repository>:<tag>``.
"""

from __future__ import annotations

import re
from typing import Final

from stepbridge_local.partitions import dns_suffix

__all__ = ["ecr_name", "ecr_references", "engine_name", "rewritten_dockerfile"]

_HOST: Final = re.compile(r"\b(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.]+/")
_REFERENCE: Final = re.compile(
    _HOST.pattern + r"[a-z0-9._/-]+(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?(?:@sha256:[0-9a-f]{64})?"
)
_FROM: Final = re.compile(r"\s*FROM\s", re.IGNORECASE)
_NAMES_AN_IMAGE: Final = re.compile(r"\s*(?:FROM\s|(?:COPY|RUN)\s.*from=)", re.IGNORECASE)
_ARGUMENT: Final = re.compile(r"\s*ARG\s", re.IGNORECASE)


def engine_name(text: str, address: str) -> str:
    """``text`` with every registry of ECR in it replaced by the one that answers on ``address``."""
    return _HOST.sub(lambda host: f"{address}/{host['account']}/{host['region']}/", text)


def ecr_name(text: str, address: str) -> str:
    """``text`` with the names of ECR again."""
    own = re.compile(re.escape(address) + r"/(?P<account>\d{12})/(?P<region>[a-z0-9-]+)/")
    return own.sub(_host, text)


def _host(name: re.Match[str]) -> str:
    return f"{name['account']}.dkr.ecr.{name['region']}.{dns_suffix(name['region'])}/"


def ecr_references(text: str) -> list[str]:
    """The images of ECR that ``text`` names, each once."""
    return list(dict.fromkeys(match[0] for match in _REFERENCE.finditer(text)))


def rewritten_dockerfile(dockerfile: str, address: str) -> str:
    """The Dockerfile with the engine's names where it names images: FROM, the arguments before it, ``from=``."""
    lines = dockerfile.splitlines(keepends=True)
    first_from = next((number for number, line in enumerate(lines) if _FROM.match(line)), len(lines))
    return "".join(
        engine_name(line, address)
        if _NAMES_AN_IMAGE.match(line) or (number < first_from and _ARGUMENT.match(line))
        else line
        for number, line in enumerate(lines)
    )
