"""CloudFormation on moto's API and template language.

moto's CloudFormation imports the models of forty services. API Gateway's needs openapi-spec-validator, which brings a
dozen packages. Nothing here calls it, since API Gateway is refused. So where it is not installed, an empty module takes
its place before anything in this package imports moto.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

_ABSENT: dict[str, dict[str, object]] = {
    "openapi_spec_validator": {"validate": None},
    "openapi_spec_validator.validation": {},
    "openapi_spec_validator.validation.exceptions": {"OpenAPIValidationError": Exception},
}

if "openapi_spec_validator" not in sys.modules and importlib.util.find_spec("openapi_spec_validator") is None:
    for _name, _members in _ABSENT.items():
        sys.modules[_name] = ModuleType(_name)
        vars(sys.modules[_name]).update(_members)
