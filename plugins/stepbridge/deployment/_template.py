"""``infra/stack.yaml`` and the state machine definition, packaged into one template body.

Like ``aws cloudformation package``, but into the template itself instead of a bucket: the local path in a state
machine's ``DefinitionS3Location`` becomes ``DefinitionString``. The body is compact JSON, because a template has a size
limit.
"""

import hashlib
import json
import os.path
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from stepbridge.asl.validation import load_definition
from stepbridge.errors import TemplateError

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_INLINE_BYTES: Final = 51_200
MAX_TEMPLATE_BYTES: Final = 1_048_576

# The property that names a resource, for the types whose resources outlive the stack.
_NAME_PROPERTIES: Final[Mapping[str, str]] = {"AWS::S3::Bucket": "BucketName", "AWS::ECR::Repository": "RepositoryName"}


@dataclass(frozen=True)
class PackagedTemplate:
    """A template ready to be sent. ``source`` is the file it came from."""

    source: str
    document: Mapping[str, Any]

    @property
    def body(self) -> str:
        return json.dumps(self.document, ensure_ascii=False, separators=(",", ":"))

    @property
    def size_bytes(self) -> int:
        return len(self.body.encode())

    @property
    def digest(self) -> str:
        """64 hex digits over the body."""
        return hashlib.sha256(self.body.encode()).hexdigest()

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """The declarations of the template's parameters."""
        return dict(self.document.get("Parameters", {}))


def read_template(path: Path) -> PackagedTemplate:
    """The template at ``path`` and the definition it names, packaged.

    Raises TemplateError when a file is missing or is no template, DefinitionError with all problems of a definition.
    """
    return package_template(_read(path), str(path), lambda relative: _read(path.parent / relative))


def package_template(text: str, source: str, read: Callable[[str], str]) -> PackagedTemplate:
    """The template ``text`` with every definition in it; ``read`` returns the text at a path in the template.

    Raises TemplateError, and DefinitionError with all problems of a definition.
    """
    document = parse_template(text, source)
    for resource in document["Resources"].values():
        properties = resource.get("Properties", {})
        location = properties.get("DefinitionS3Location")
        if resource.get("Type") == "AWS::StepFunctions::StateMachine" and isinstance(location, str):
            del properties["DefinitionS3Location"]
            properties["DefinitionString"] = _definition(
                read(location), os.path.normpath(Path(source).parent / location)
            )
            resource.pop("Metadata", None)  # it is about the path
    return PackagedTemplate(source, document)


def parse_template(text: str, source: str) -> dict[str, Any]:
    """The CloudFormation template ``text``, YAML or JSON, with its short forms (``!Ref``) written out."""
    try:
        document = yaml.load(text, Loader=_TemplateLoader)
    except yaml.YAMLError as error:
        raise TemplateError(source, f"not YAML: {error}", "a CloudFormation template") from error
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise TemplateError(source, "no Resources", "a CloudFormation template")
    return document


def retained_names(template: Mapping[str, Any], pseudo: Mapping[str, str]) -> dict[str, str]:
    """Resource type -> name of the named resources that outlive the stack.

    ``pseudo`` gives ``AWS::StackName`` and the like. Raises TemplateError for a name with other variables.
    """
    names = {}
    for logical_id, resource in template["Resources"].items():
        name_property = _NAME_PROPERTIES.get(resource["Type"])
        if name_property and resource.get("DeletionPolicy") == "Retain":
            name = resource["Properties"].get(name_property)
            names[resource["Type"]] = _substituted(name, pseudo, f"{logical_id}.{name_property}")
    return names


def _substituted(name: Any, pseudo: Mapping[str, str], where: str) -> str:
    text = name.get("Fn::Sub") if isinstance(name, dict) else name
    variables = set(re.findall(r"\$\{([^}]+)\}", text)) if isinstance(text, str) else {"?"}
    if not variables <= pseudo.keys():
        raise TemplateError(where, repr(name), f"a string with no variables but {', '.join(sorted(pseudo))}")
    return re.sub(r"\$\{([^}]+)\}", lambda match: pseudo[match[1]], str(text))


def _definition(text: str, source: str) -> str:
    load_definition(text, source)  # found by CloudFormation, a mistake in it would cost a rollback
    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        remedy = "run this in a project's folder, name it with --project, or make one with `stepbridge init`"
        raise TemplateError(str(path), error.strerror or str(error), "a file that can be read", remedy) from error
    except UnicodeDecodeError as error:
        raise TemplateError(str(path), str(error), "a text file in UTF-8") from error


class _TemplateLoader(yaml.SafeLoader):
    """YAML with CloudFormation's tags; a date stays the string that a policy's Version is."""

    yaml_implicit_resolvers = {  # noqa: RUF012  the name and the type are PyYAML's
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_intrinsic(self, suffix: str, node: yaml.Node) -> dict[str, Any]:
        value: Any
        if isinstance(node, yaml.ScalarNode):
            value = self.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = self.construct_sequence(node, deep=True)
        else:
            value = self.construct_mapping(node, deep=True)  # type: ignore[arg-type]
        if suffix == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_TemplateLoader.add_multi_constructor("!", _TemplateLoader.construct_intrinsic)
