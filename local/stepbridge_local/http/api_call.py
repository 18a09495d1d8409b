"""A call of an AWS API, read from its request, and error responses in the protocol of its service."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs
from uuid import uuid4
from xml.sax.saxutils import escape

from stepbridge_local.partitions import partition
from stepbridge_local.protocols import ServiceError

__all__ = ["ApiCall", "Credential", "credential_of", "error_answer", "operation_of_target"]

_CREDENTIAL: Final = re.compile(r"Credential=([^/\s,]+)/[^/]+/([^/]+)/([^/]+)/aws4_request")
# Services whose signing name is not the name that IAM has for them.
_IAM_NAMES: Final = {"monitoring": "cloudwatch", "email": "ses"}
_XML_SERVICES: Final = frozenset({"s3", "sts", "iam", "cloudformation", "sns", "cloudwatch", "ec2", "rds"})
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_TARGET_SERVICES: Final = {"AWSStepFunctions": "states", "SageMaker": "sagemaker"}


@dataclass(frozen=True)
class Credential:
    """Who signed a request and for what: the credential scope of Signature Version 4."""

    access_key_id: str
    region: str
    service: str  # as IAM names it: states, s3


@dataclass(frozen=True)
class ApiCall:
    """A call of ``operation`` of ``service``, as IAM names them. ``operation`` is empty when it cannot be told."""

    service: str
    operation: str
    region: str
    account_id: str
    method: str

    @property
    def name(self) -> str:
        return f"{self.service}:{self.operation}"

    def arn(self, resource: str, service: str = "") -> str:
        """The ARN of a resource in the call's account and region; of its service unless another is named."""
        prefix = f"arn:{partition(self.region)}:{service or self.service}"
        return f"{prefix}:{self.region}:{self.account_id}:{resource}"


def credential_of(authorization: str, query: str) -> Credential | None:
    """The credential of a request's Authorization header or of its presigned query; None for an unsigned request."""
    found = _CREDENTIAL.search(authorization)
    if found is not None:
        key, region, service = found.groups()
    elif "X-Amz-Credential=" in query:
        scope = parse_qs(query)["X-Amz-Credential"][0].split("/")
        if len(scope) != 5:
            return None
        key, region, service = scope[0], scope[2], scope[3]
    else:
        return None
    return Credential(key, region, _IAM_NAMES.get(service.lower(), service.lower()))


def operation_of_target(target: str) -> tuple[str, str]:
    """Service and operation of an X-Amz-Target header; the service is empty for one that is not known by it."""
    prefix, _, operation = target.rpartition(".")
    return _TARGET_SERVICES.get(prefix.partition("_")[0], ""), operation


def error_answer(call: ApiCall, error: ServiceError) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body of the error as the service would answer it."""
    request_id = str(uuid4())
    headers = [("x-amzn-RequestId", request_id), ("Connection", "close")]  # the request's body may be unread
    if call.service == "s3":
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(error.code)}</Code>'
            f"<Message>{escape(error.message)}</Message><RequestId>{request_id}</RequestId></Error>"
        ).encode()
        headers += [("Content-Type", "application/xml"), ("x-amz-request-id", request_id)]
    elif call.service in _XML_SERVICES:
        error_type = "Sender" if error.http_status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{error_type}</Type><Code>{escape(error.code)}</Code>"
            f"<Message>{escape(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        ).encode()
        headers.append(("Content-Type", "text/xml"))
    else:
        body = json.dumps({"__type": error.code, "message": error.message}).encode()
        headers += [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-ErrorType", error.code)]
    if call.method == "HEAD":
        body = b""
    headers.append(("Content-Length", str(len(body))))
    return f"{error.http_status} {_PHRASES.get(error.http_status, 'Error')}", headers, body
