"""What the validator needs of botocore's service models, for every operation that the local AWS has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stepbridge_local.services.operations import SERVICES
from stepbridge_local.services.service_model import compile_pattern, input_shape
from stepbridge_local.services.validation import checked

MODELLED = sorted(service for service in SERVICES if service != "s3")  # S3's model has no constraints


def shapes(shape: Any, above: tuple[str, ...] = ()) -> Iterator[Any]:
    """The shape and all in it, each recursive one once."""
    if shape.name in above:
        return
    yield shape
    inner = {
        "structure": lambda: list(shape.members.values()),
        "list": lambda: [shape.member],
        "map": lambda: [shape.key, shape.value],
    }.get(shape.type_name, list)
    for member in inner():
        yield from shapes(member, (*above, shape.name))


def sample(shape: Any, above: tuple[str, ...] = ()) -> Any:
    """A value of the shape with all its members, whatever their constraints."""
    if shape.type_name == "structure":
        inner = (*above, shape.name)
        return {} if shape.name in above else {name: sample(one, inner) for name, one in shape.members.items()}
    if shape.type_name == "list":
        return [sample(shape.member, above)]
    if shape.type_name == "map":
        return {"key": sample(shape.value, above)}
    return {"string": "text", "boolean": True, "timestamp": 1, "blob": "AA=="}.get(shape.type_name, 1)


@pytest.mark.parametrize("service", MODELLED)
def test_every_pattern_and_type_of_an_offered_operation_is_understood(service: str) -> None:
    """A new botocore with a pattern or a type that the validator does not know fails here, not in a request."""
    count = 0
    for operation in sorted(SERVICES[service].offered):
        shape = input_shape(SERVICES[service].model, operation)
        if shape is None:
            continue
        for one in shapes(shape):
            if "pattern" in one.metadata:
                compile_pattern(one.metadata["pattern"])
        assert checked(shape, sample(shape)).type_errors == []
        count += 1
    assert count >= 5


def test_members_that_a_model_does_not_have_are_ignored() -> None:
    """As AWS does, so that a newer client can call; only SageMaker's validator asks for them."""
    shape = input_shape("stepfunctions", "ListStateMachines")
    assert shape is not None
    assert checked(shape, {"maxResults": 5, "aNewMember": 1}).violations == []
    assert [one.path for one in checked(shape, {"aNewMember": 1}, only_known=True).violations] == ["aNewMember"]
