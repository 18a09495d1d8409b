"""Checks names of operations, as in IAM, against the service models: a misspelt one would never be hit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from botocore.exceptions import DataNotFoundError
from botocore.loaders import create_loader

from stepbridge_local.errors import Problem

__all__ = ["operation_problems"]

# Services that IAM knows by another name than botocore.
_BOTOCORE_NAMES: Final = {"states": "stepfunctions", "monitoring": "cloudwatch"}


def operation_problems(where: str, patterns: Iterable[str]) -> list[Problem]:
    """What is wrong with patterns such as ``states:StartExecution`` or ``s3:*``: those that nothing matches."""
    problems = []
    for pattern in patterns:
        service, colon, operation = pattern.partition(":")
        if not colon:  # "*"
            continue
        known = _operations(service)
        if known is None:
            expected = "a service of AWS as IAM names it, for instance states, sagemaker, s3, codebuild, ecr, logs, sts"
            problems.append(Problem(where, repr(pattern), expected))
        elif not any(fnmatchcase(name, operation) for name in known):
            close = difflib.get_close_matches(operation, known, 3)
            expected = f"an operation of {service}" + (f", perhaps {' or '.join(close)}" if close else "")
            problems.append(Problem(where, repr(pattern), expected))
    return problems


@lru_cache(maxsize=32)
def _operations(service: str) -> tuple[str, ...] | None:
    try:
        model = create_loader().load_service_model(_BOTOCORE_NAMES.get(service, service), "service-2")
    except DataNotFoundError:
        return None
    return tuple(model["operations"])
