"""Resource types of stacks: one module each."""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path

import pytest

from stepbridge_local.services.cloudformation import resources
from stepbridge_local.services.cloudformation.resource_type import ResourceFailedError, ResourceType
from stepbridge_local.services.cloudformation.resources import load_resource_types, resource_types

A_TYPE = """
from stepbridge_local.services.cloudformation.resource_type import ResourceType, ReturnValues

RESOURCE_TYPE = ResourceType(
    name="AWS::Any::Thing",
    required=frozenset({"Size"}),
    optional=frozenset(),
    create=lambda context, name, properties: name,
    configure=lambda context, physical_id, old, new: ReturnValues(physical_id, {"Size": new["Size"]}),
    delete=lambda context, physical_id, properties: None,
)
"""


def test_every_module_is_a_resource_type() -> None:
    """As many types as modules, each under the name of its module."""
    modules = [module.name for module in pkgutil.iter_modules(resources.__path__)]
    names = [name.removeprefix("AWS::").replace("::", "").lower() for name in resource_types()]
    assert sorted(names) == sorted(module.replace("_", "") for module in modules)
    assert "s3bucket" in names


def test_a_new_type_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the package is all that it takes."""
    package = tmp_path / "more_resources"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "any_thing.py").write_text(A_TYPE)
    monkeypatch.syspath_prepend(tmp_path)
    found = load_resource_types("more_resources", [str(package)])
    for name in [name for name in sys.modules if name.startswith("more_resources")]:
        monkeypatch.delitem(sys.modules, name)
    assert isinstance(found["AWS::Any::Thing"], ResourceType)
    with pytest.raises(ResourceFailedError, match="Size"):
        found["AWS::Any::Thing"].check({})
