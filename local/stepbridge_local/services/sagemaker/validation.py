"""Validates requests against SageMaker's service model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stepbridge_local.services.sagemaker.errors import serialization_error, validation_error
from stepbridge_local.services.service_model import input_shape
from stepbridge_local.services.validation import checked

if TYPE_CHECKING:
    from botocore.model import StructureShape

__all__ = ["request_shape", "validated"]


def request_shape(operation: str) -> StructureShape:
    """The input shape of a SageMaker operation."""
    shape = input_shape("sagemaker", operation)
    if shape is None:
        raise LookupError(f"SageMaker's {operation} takes no input")
    return shape


def validated(operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``request`` that the operation's input shape accepts: nulls dropped, numbers and times converted.

    Raises ServiceError: SerializationException for values of the wrong JSON type, ValidationException for everything
    else, members that SageMaker does not have too. Each has all problems of its kind.
    """
    found = checked(request_shape(operation), request, only_known=True)
    if found.type_errors:
        raise serialization_error("; ".join(found.type_errors))
    if found.violations:
        raise validation_error(found.report())
    return found.accepted
