"""The few ``aws`` commands that an image build needs. All others are refused by name."""

from __future__ import annotations

import argparse
import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, Never

import jmespath  # type: ignore[import-untyped]
from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]

from stepbridge_local.errors import UnsupportedCommandError
from stepbridge_local.protocols import CommandCall, Output, Scope, ServiceError

__all__ = ["AwsCli", "FindDigest"]

VERSION: Final = "aws-cli/2.0.0 stepbridge"
AVAILABLE: Final = "aws ecr get-login-password, aws ecr batch-get-image and aws --version"
API_ERROR: Final = 254
UNSUPPORTED: Final = 252

FindDigest = Callable[[Scope, str, str], str | None]
"""``find_digest(scope, repository, tag)``: the digest under a tag, or None; ServiceError without the repository."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        raise UnsupportedCommandError(self.prog, message, "", f"builds of the local AWS have {AVAILABLE}")


class AwsCli:
    """Answers ``aws`` commands. ``passwords`` keeps the login passwords that it issues, by region.

    ``check_login`` raises ServiceError if it may not issue any.
    """

    def __init__(
        self,
        scope: Scope,
        find_digest: FindDigest,
        passwords: dict[str, str],
        check_login: Callable[[], None] = lambda: None,
    ) -> None:
        self._check_login = check_login
        self._scope = scope
        self._find_digest = find_digest
        self._passwords = passwords

    def answer(self, call: CommandCall, output: Output) -> int:
        """The exit status of a command."""
        words = list(call.arguments)
        try:
            if words == ["--version"]:
                output(VERSION, False)
                return 0
            if words[:2] == ["ecr", "get-login-password"]:
                return self._get_login_password(words[2:], output)
            if words[:2] == ["ecr", "batch-get-image"]:
                return self._batch_get_image(words[2:], output)
            raise UnsupportedCommandError(
                "aws " + " ".join(words), "not available in builds of the local AWS", AVAILABLE
            )
        except UnsupportedCommandError as refusal:
            output(str(refusal), True)
            return UNSUPPORTED

    def _get_login_password(self, words: list[str], output: Output) -> int:
        read = _parser("get-login-password").parse_args(words)
        region = read.region or self._scope.region
        try:
            self._check_login()
        except ServiceError as error:
            return _api_error(error, "GetAuthorizationToken", output)
        output(self._passwords.setdefault(region, secrets.token_urlsafe(48)), False)
        return 0

    def _batch_get_image(self, words: list[str], output: Output) -> int:
        parser = _parser("batch-get-image")
        parser.add_argument("--repository-name", required=True)
        parser.add_argument("--image-ids", nargs="+", required=True)
        parser.add_argument("--registry-id")
        read = parser.parse_args(words)
        scope = Scope(read.registry_id or self._scope.account_id, read.region or self._scope.region)
        try:
            answer = self._images(scope, read.repository_name, [_tag_of(text) for text in read.image_ids])
        except ServiceError as error:
            return _api_error(error, "BatchGetImage", output)
        for line in _shown(answer, read.query, read.output):
            output(line, False)
        return 0

    def _images(self, scope: Scope, repository: str, tags: Sequence[str]) -> dict[str, Any]:
        images: list[dict[str, Any]] = []
        failures: list[dict[str, Any]] = []
        for tag in tags:
            digest = self._find_digest(scope, repository, tag)
            if digest is None:
                reason = {"failureCode": "ImageNotFound", "failureReason": "Requested image not found"}
                failures.append({"imageId": {"imageTag": tag}, **reason})
            else:
                image_id = {"imageDigest": digest, "imageTag": tag}
                images.append({"registryId": scope.account_id, "repositoryName": repository, "imageId": image_id})
        return {"images": images, "failures": failures}


def _api_error(error: ServiceError, operation: str, output: Output) -> int:
    output(f"An error occurred ({error.code}) when calling the {operation} operation: {error.message}", True)
    return API_ERROR


def _parser(command: str) -> _Parser:
    parser = _Parser(prog=f"aws ecr {command}", add_help=False, allow_abbrev=False)
    parser.add_argument("--region")
    parser.add_argument("--output", choices=["json", "text"], default="json")
    parser.add_argument("--query")
    parser.add_argument("--no-cli-pager", action="store_true")
    return parser


def _tag_of(text: str) -> str:
    key, _, value = text.partition("=")
    if key != "imageTag" or not value:
        raise UnsupportedCommandError("aws ecr batch-get-image --image-ids", repr(text), "imageTag=<tag>")
    return value


def _shown(answer: dict[str, Any], query: str | None, output_format: str) -> list[str]:
    try:
        result = jmespath.search(query, answer) if query else answer
    except JMESPathError as error:
        raise UnsupportedCommandError("aws --query", f"{query!r}: {error}", "a JMESPath expression") from error
    if output_format == "json":
        return json.dumps(result, indent=4).splitlines()
    if not isinstance(result, list):
        result = [result]
    if any(isinstance(item, dict | list) for item in result):
        raise UnsupportedCommandError("aws --output text", "a nested result", "a --query that selects texts")
    return ["\t".join(_word(item) for item in result)] if result else []


def _word(item: Any) -> str:
    return str(item) if not isinstance(item, bool) else str(item).lower()
