"""moto is what the local AWS is written for: its version, the names that are replaced or called, and their parameters.

After a bump of the pin: read the changes of each name in ``moto_names.json`` that this test reports, adapt what uses it
in ``services/moto`` or in that service's ``moto`` module, then write the new parameters down.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import stepbridge_local.services.cloudformation.moto  # noqa: F401  (moto.cloudformation cannot be imported before it)

ROOT = Path(__file__).parents[2]
NAMES: dict[str, Any] = json.loads((Path(__file__).parent / "moto_names.json").read_text())


def parameters(name: str) -> Any:
    """The names of the parameters of what ``module:Class.method`` names, as moto itself has it."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = inspect.getattr_static(found, part)
    if isinstance(found, property):
        return "property"
    signature = inspect.signature(getattr(found, "__func__", found))
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [stars.get(parameter.kind, "") + parameter.name for parameter in signature.parameters.values()]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_moto_is_what_it_was(name: str) -> None:
    """A renamed method or a new parameter is found here and not in the middle of a run."""
    assert parameters(name) == NAMES[name]


def test_the_installed_moto_is_the_pinned_one() -> None:
    """One exact version: its internals are private and change without notice."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (pin,) = (requirement for requirement in dependencies if requirement.startswith("moto"))
    assert pin.partition("==")[2] == version("moto") == "5.2.5"


def test_what_is_recorded_of_objects_and_buckets_is_all_there_is() -> None:
    """A new attribute of moto's S3 models is either recorded or known not to be."""
    from moto.s3.models import FakeBucket, FakeKey, s3_backends

    from stepbridge_local.services.s3.moto import records as s3_records

    own_form = {"name", "bucket_name", "account_id", "region_name", "partition", "last_modified", "acl", "_metadata"}
    own_form |= {"_expiry", "contentsize"}
    not_kept = {"_max_buffer_size", "_value_buffer", "disposed", "lock", "multipart"}
    from_managed_state = {"_transitions", "_status", "_tick", "_time_progressed", "model_name"}
    key = FakeKey("k", b"", "123456789012", "aws")
    assert vars(key).keys() - {"value"} == (own_form | not_kept | from_managed_state | set(s3_records._KEY_FIELDS))
    key.dispose()

    own_form = {"name", "account_id", "region_name", "partition", "creation_date", "policy", "public_access_block"}
    own_form |= {"keys", "multiparts", "rules", "cors"}  # the last two as they came in: lifecycle_input, cors_input
    not_kept = {"website_configuration", "acl", "logging", "notification_configuration", "accelerate_configuration"}
    not_kept |= {"payer", "inventory_configs"}
    recorded = set(s3_records._BUCKET_FIELDS) - {"lifecycle_input", "cors_input"}
    bucket = FakeBucket("b", "123456789012", "us-east-1")  # type: ignore[abstract]
    s3_backends.bucket_accounts.pop("b")
    assert vars(bucket).keys() == own_form | not_kept | recorded


def test_only_moto_modules_import_moto() -> None:
    """A service's touch of moto is in its ``moto`` module or package; what all share is in ``services/moto``.

    The fork server of tests imports moto beforehand.
    """
    allowed = re.compile(r"services/(\w+/)?moto(\.py|/\w+\.py)|testing/\w+\.py")
    package = ROOT / "stepbridge_local"
    importing = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Import) and any(name.name.split(".")[0] == "moto" for name in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "moto")
    }
    assert importing
    assert {name for name in importing if not allowed.fullmatch(name)} == set()
