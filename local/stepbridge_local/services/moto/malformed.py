"""Answers malformed calls of the JSON protocols with AWS's 400. moto's handlers crash on them."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any
from wsgiref.types import WSGIEnvironment

from stepbridge_local.protocols import ServiceError
from stepbridge_local.services.moto.requests import read_body

if TYPE_CHECKING:
    from botocore.model import ServiceModel

__all__ = ["problem_of", "unreadable"]

_MODELS = {
    "AWSStepFunctions": "stepfunctions",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "AmazonSQS": "sqs",
    "AWSEvents": "events",
    "CodeBuild_20161006": "codebuild",
    "Logs_20140328": "logs",
    "SageMaker": "sagemaker",
}


def unreadable(environ: WSGIEnvironment) -> ServiceError | None:
    """The error for a body that is not a JSON object; None otherwise, and for calls of other protocols."""
    if not environ.get("HTTP_X_AMZ_TARGET"):
        return None
    body = read_body(environ)
    try:
        members = json.loads(body.decode("utf-8")) if body else {}
    except (ValueError, RecursionError):
        return ServiceError("SerializationException", "The request's body is not JSON")
    if not isinstance(members, dict):
        return ServiceError("SerializationException", "The request's body is JSON, but no object")
    return None


def problem_of(environ: WSGIEnvironment) -> ServiceError | None:
    """The problem with the members of a call on which a handler crashed; None if the members are valid."""
    prefix, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")
    stream: Any = environ["wsgi.input"]
    if prefix not in _MODELS or not hasattr(stream, "seek"):
        return None
    from botocore.validate import ParamValidator

    stream.seek(0)
    model = _model(_MODELS[prefix])
    if operation not in model.operation_names:
        return None
    shape = model.operation_model(operation).input_shape
    report = ParamValidator().validate(json.loads(stream.read() or b"{}"), shape) if shape is not None else None
    if report is None or not report.has_errors():
        return None
    return ServiceError("ValidationException", f"1 validation error detected: {report.generate_report()}")


@cache
def _model(service: str) -> ServiceModel:
    import botocore.session

    return botocore.session.Session().get_service_model(service)
