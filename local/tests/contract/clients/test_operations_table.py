"""docs/operations.md against the local AWS: every operation of every service is called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import create_loader
from botocore.model import Shape, StructureShape

from stepbridge_local.services.operations import SERVICES, Service, markdown
from stepbridge_local.testing import LocalAwsProcess

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
BEGIN = "<!-- python -m stepbridge_local.services.operations -->\n"
REGENERATE = "write the output of `python -m stepbridge_local.services.operations` below the page's comment"
# Calls of whatever they may be asked for: no retries, no look at the arguments before they are sent.
UNCHECKED = Config(parameter_validation=False, retries={"total_max_attempts": 1}, inject_host_prefix=False)
CRASHED = 500
# botocore signs these of S3 for other services, s3express and s3-object-lambda, and does not read their refusals.
OF_OTHER_SIGNERS = {"ListDirectoryBuckets", "WriteGetObjectResponse"}


@pytest.fixture(scope="module")
def models() -> dict[str, frozenset[str]]:
    loader = create_loader()
    names = [service.model for service in SERVICES.values()]
    return {name: frozenset(loader.load_service_model(name, "service-2")["operations"]) for name in names}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsProcess]:
    """A local AWS for calls with senseless arguments."""
    process = LocalAwsProcess(tmp_path_factory.mktemp("scratch-local-aws") / "data")
    process.start()
    yield process
    process.stop()


def test_the_page_is_the_table(models: dict[str, frozenset[str]]) -> None:
    """What the page says is what the local AWS goes by, and botocore's models have no operation it leaves out."""
    _, _, tables = PAGE.read_text().partition(BEGIN)
    assert tables.strip() == markdown(models).strip(), REGENERATE


@pytest.mark.parametrize("name", SERVICES)
def test_every_operation_of_the_table_is_one_of_aws(name: str, models: dict[str, frozenset[str]]) -> None:
    """Names are spelt as in the service model; an operation is honoured or without effect, not both."""
    service = SERVICES[name]
    assert service.offered <= models[service.model]
    assert not service.honoured & service.kept.keys()
    assert service.notes.keys() <= service.honoured
    assert all(len(reason) > 20 for reason in service.kept.values()), "each line without effect is justified"


# What a member of that name begins with on AWS.
RESOURCES = {
    "stateMachineArn": "states:us-east-1:123456789012:stateMachine:none",
    "stateMachineAliasArn": "states:us-east-1:123456789012:stateMachine:none:alias",
    "executionArn": "states:us-east-1:123456789012:execution:none:none",
    "mapRunArn": "states:us-east-1:123456789012:mapRun:none/none:0",
    "TopicArn": "sns:us-east-1:123456789012:none",
    "SubscriptionArn": "sns:us-east-1:123456789012:none:0",
}
TEXTS = {"AWSServiceName": "none.amazonaws.com", "CopySource": "none/none", "StackName": "none", "imageManifest": "{}"}


def filled(shape: Shape | None, name: str = "") -> Any:
    """Something of the shape's kind in every required member, ARNs of things that do not exist among it."""
    if isinstance(shape, StructureShape) and shape.name == "PublishInput":  # a number, an endpoint or a topic
        return {"TopicArn": filled(shape.members["TopicArn"], "TopicArn"), "Message": "none"}
    if isinstance(shape, StructureShape):
        return {member: filled(shape.members[member], member) for member in shape.required_members}
    if shape is not None and getattr(shape, "enum", None):
        return shape.enum[0]
    if name in RESOURCES or name.lower().endswith("arn"):
        return f"arn:aws:{RESOURCES.get(name, 'iam::123456789012:role/none')}"
    kinds: dict[str, Any] = {"list": [], "map": {}, "integer": 1, "long": 1, "float": 1.0, "double": 1.0}
    kinds |= {"boolean": False, "timestamp": 0, "blob": b"x", "string": TEXTS.get(name, "no-such-thing")}
    return {} if shape is None else kinds[shape.type_name]


def call(client: Any, operation: str) -> tuple[str, int, str]:
    """Code, HTTP status and message of what the call came to; no code for one that succeeded."""
    model = client.meta.service_model.operation_model(operation)
    method = next(name for name, api in client.meta.method_to_api_mapping.items() if api == operation)
    try:
        answer = getattr(client, method)(**filled(model.input_shape))
    except ClientError as error:
        details = error.response["Error"]
        return details["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"], details.get("Message", "")
    return "", answer["ResponseMetadata"]["HTTPStatusCode"], ""


def calls(scratch: LocalAwsProcess, service: Service, operations: frozenset[str]) -> dict[str, tuple[str, int, str]]:
    client = scratch.client(service.model, config=UNCHECKED)
    return {operation: call(client, operation) for operation in sorted(operations)}


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_refused_is_refused_by_name(
    scratch: LocalAwsProcess, name: str, models: dict[str, frozenset[str]]
) -> None:
    """Every other operation of the service is answered NotImplemented with its own name, and nothing is done."""
    service = SERVICES[name]
    for operation, (code, status, message) in calls(scratch, service, models[service.model] - service.offered).items():
        assert status == 501, (operation, code, message)
        if operation not in OF_OTHER_SIGNERS:
            assert code == "NotImplemented"
            assert f" {operation}" in message
            assert "the local AWS does not do this" in message


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_offered_is_answered(scratch: LocalAwsProcess, name: str) -> None:
    """No other operation is refused, or fails of itself: senseless arguments get an error of AWS or an answer."""
    for operation, (code, status, message) in calls(scratch, SERVICES[name], SERVICES[name].offered).items():
        assert code != "NotImplemented", (operation, message)
        assert status < CRASHED, (operation, code, message)


@pytest.mark.parametrize("service", ["ec2", "lambda", "dynamodb", "glue", "batch", "kms", "ssm"])
def test_other_services_are_refused_by_name(scratch: LocalAwsProcess, service: str) -> None:
    """moto would pretend."""
    client = scratch.client(service, config=UNCHECKED)
    operation = sorted(client.meta.service_model.operation_names)[0]
    _, status, message = call(client, operation)
    assert status == 501
    assert f"has no service '{service}'" in message or not message  # lambda's protocol hides the text from botocore
