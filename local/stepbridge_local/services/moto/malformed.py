"""Answers malformed calls with AWS's 400. moto's handlers crash on some of them, and accept others."""

from __future__ import annotations

import json
from typing import Any
from wsgiref.types import WSGIEnvironment

from moto.core.model import OperationModel
from moto.core.parse import QueryParser
from moto.core.utils import get_service_model

from stepbridge_local.http.api_call import ApiCall
from stepbridge_local.protocols import ServiceError
from stepbridge_local.services.moto.requests import form_of, read_body
from stepbridge_local.services.operations import SERVICES
from stepbridge_local.services.sqs.rules import problem_of_numbers
from stepbridge_local.services.validation import Violation, checked

__all__ = ["problem_of", "refusal_by_model", "unreadable"]

_MODELS = {
    "AWSStepFunctions": "stepfunctions",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "AmazonSQS": "sqs",
    "AWSEvents": "events",
    "CodeBuild_20161006": "codebuild",
    "Logs_20140328": "logs",
    "SageMaker": "sagemaker",
}
# What a service answers to a member that breaks a constraint of its model. By its name in IAM.
_CONSTRAINT_ERRORS = {
    "states": "ValidationException",
    "events": "ValidationException",
    "codebuild": "InvalidInputException",
    "ecr": "InvalidParameterException",
    "logs": "InvalidParameterException",
    "iam": "ValidationError",
    "sts": "ValidationError",
    "cloudformation": "ValidationError",
}
_ONLY_TYPES = frozenset({"sns", "sqs"})


def unreadable(environ: WSGIEnvironment) -> ServiceError | None:
    """The error for a body that is not a JSON object; None otherwise, and for calls of other protocols."""
    if not environ.get("HTTP_X_AMZ_TARGET"):
        return None
    body = read_body(environ)
    try:
        members = json.loads(body.decode("utf-8"), parse_constant=_no_constant) if body else {}
    except (ValueError, RecursionError):
        return ServiceError("SerializationException", "The request's body is not JSON")
    if not isinstance(members, dict):
        return ServiceError("SerializationException", "The request's body is JSON, but no object")
    return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON, though Python's parser takes it")


def refusal_by_model(environ: WSGIEnvironment, call: ApiCall) -> ServiceError | None:
    """The error of a call whose members break the lengths, ranges, patterns or enums of the service's model.

    None for valid calls. SageMaker checks its own members. S3, SNS and SQS have errors of their own for each; of SNS
    and SQS only the types are checked, and SQS's numbers.
    """
    code = _CONSTRAINT_ERRORS.get(call.service)
    if code is None and call.service not in _ONLY_TYPES:
        return None
    operation = _operation(SERVICES[call.service].model, call.operation)
    if operation is None:
        return None
    shape = operation.input_shape
    if shape is None:
        return None
    if environ.get("HTTP_X_AMZ_TARGET"):
        members = json.loads(read_body(environ) or b"{}")
    else:
        request: Any = {"values": form_of(environ)}
        try:
            members = QueryParser(operation).parse(request)
        except ValueError as error:
            return ServiceError("MalformedInput", str(error))
    try:
        found = checked(shape, members)
    except RecursionError:
        return ServiceError("SerializationException", "The request's members are nested too deeply")
    if found.type_errors:
        return ServiceError("SerializationException", "; ".join(found.type_errors))
    if call.service == "sqs":
        return problem_of_numbers(members)
    if not found.violations or code is None:
        return None
    return ServiceError(code, _in_words_of_ecr(found.violations[0]) if call.service == "ecr" else found.report())


def _operation(service: str, operation: str) -> OperationModel | None:
    """moto's model of an operation, which moto itself loads too; None if there is no such operation."""
    model = get_service_model(service)
    return model.operation_model(operation) if operation in model.operation_names else None


def _in_words_of_ecr(violation: Violation) -> str:
    constraint = violation.constraint.removeprefix("Member ")
    text, has_pattern, pattern = constraint.partition(" pattern: ")
    if has_pattern:
        constraint = f"{text} '{pattern}'"
    return f"Invalid parameter at '{violation.path}' failed to satisfy constraint: '{constraint}'"


def problem_of(environ: WSGIEnvironment) -> ServiceError | None:
    """The problem with the members of a call on which a handler crashed; None if the members are valid."""
    prefix, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")
    stream: Any = environ["wsgi.input"]
    if prefix not in _MODELS or not hasattr(stream, "seek"):
        return None
    from botocore.validate import ParamValidator

    stream.seek(0)
    model = _operation(_MODELS[prefix], operation)
    shape = model.input_shape if model is not None else None
    report = ParamValidator().validate(json.loads(stream.read() or b"{}"), shape) if shape is not None else None
    if report is None or not report.has_errors():
        return None
    return ServiceError("ValidationException", f"1 validation error detected: {report.generate_report()}")
