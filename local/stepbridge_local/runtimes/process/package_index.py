"""The source of packages: the machine's settings of indexes, proxies and certificates that a build gets.

Nothing else of the machine's environment reaches a build. pip's variables are translated to those of uv.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from stepbridge_local.runtimes.process.sandbox import Bind

__all__ = ["cache_folder", "index_binds", "index_environment", "translated"]

_PASSED: Final = re.compile(
    r"UV_(?:DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX_\w+_(?:USERNAME|PASSWORD)|INDEX_STRATEGY|FIND_LINKS"
    r"|NO_INDEX|OFFLINE|INSECURE_HOST|HTTP_TIMEOUT|HTTP_RETRIES|NATIVE_TLS|SYSTEM_CERTS|EXCLUDE_NEWER|CONCURRENT_\w+)"
    r"|SSL_CERT_(?:FILE|DIR)|(?:HTTPS?|ALL|NO)_PROXY|(?:https?|all|no)_proxy"
)
_FROM_PIP: Final[Mapping[str, str]] = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_NO_INDEX": "UV_NO_INDEX",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_CERT": "SSL_CERT_FILE",
}
_SEPARATED_BY_COMMA: Final = frozenset({"UV_FIND_LINKS"})


def translated(variables: Mapping[str, str]) -> dict[str, str]:
    """``variables`` and, for each of pip's among them, the one of uv, unless that is set too."""
    from_pip = {
        name: ",".join(value.split()) if name in _SEPARATED_BY_COMMA else value
        for pip_name, name in _FROM_PIP.items()
        if (value := variables.get(pip_name))
    }
    return {**from_pip, **variables}


def index_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a build gets of the machine's environment ``environ``."""
    passed = {name: value for name, value in translated(environ).items() if value and _PASSED.fullmatch(name)}
    # Like pip: the newest version wins, whichever index has it.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **passed}


def index_binds(environment: Mapping[str, str]) -> list[Bind]:
    """The files and folders of this machine that ``environment`` names: indexes on disk, certificates."""
    return [Bind(path, path) for path in sorted({path for path in _paths(environment) if path and Path(path).exists()})]


def _paths(environment: Mapping[str, str]) -> Iterator[str]:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        yield environment.get(name, "")
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"):
        for location in re.split(r"[\s,]+", environment.get(name, "")):
            url = urlsplit(location.rpartition("=")[2] if "=file:" in location else location)
            if url.scheme in ("", "file") and url.path.startswith("/"):
                yield url2pathname(url.path).rstrip("/")


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where builds keep packages: below uv's cache on this machine, and apart from it.

    The setup code of packages can write to it, so this user's own uv does not install from it.
    """
    if environ.get("UV_CACHE_DIR"):
        return Path(environ["UV_CACHE_DIR"], "stepbridge")
    home = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "/nonexistent"), ".cache")
    return Path(home) / "uv" / "stepbridge"
