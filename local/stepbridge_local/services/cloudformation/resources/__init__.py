"""The resource types that stacks of the local AWS may have: one module each.

To add a type, add a module to this package that defines ``RESOURCE_TYPE``, a ``ResourceType``. Nothing else refers to
it by name: ``resource_types`` finds every module of the package.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache

from stepbridge_local.services.cloudformation.resource_type import ResourceType

__all__ = ["load_resource_types", "resource_types"]


@cache
def resource_types() -> Mapping[str, ResourceType]:
    """The types of this package by their names, such as ``AWS::S3::Bucket``."""
    return load_resource_types(__name__, __path__)


def load_resource_types(package: str, path: Iterable[str]) -> Mapping[str, ResourceType]:
    """The ``RESOURCE_TYPE`` of each module of a package, by name. Raises AttributeError for a module without one."""
    modules = [importlib.import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules(path)]
    return {module.RESOURCE_TYPE.name: module.RESOURCE_TYPE for module in modules}
