"""The steps that deploy a stack, computed from a snapshot of it before anything is changed.

Pure: a plan is a tuple of frozen steps. ``_stack_changer`` carries them out; their texts say what that does.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from stepbridge.deployment._stack_status import StackState, stack_state
from stepbridge.deployment._template import MAX_INLINE_BYTES, MAX_TEMPLATE_BYTES, PackagedTemplate
from stepbridge.errors import DeploymentError, TemplateError

# The bucket's name is `<stack>-<account>-<region>` (at most 63), a role's `<stack>-<region>-batch-inference` (64).
_STACK_NAME: Final = re.compile(r"(?=.{1,32}\Z)[a-z](?:-?[a-z0-9])*")
_STUCK_REMEDY: Final[Mapping[str, str]] = {
    "UPDATE_ROLLBACK_FAILED": "repair what the events name, then `aws cloudformation continue-update-rollback`",
    "IMPORT_ROLLBACK_FAILED": "repair what the events name, then `aws cloudformation continue-update-rollback`",
    "DELETE_FAILED": "remove what the events name and delete the stack, then deploy again",
}


@dataclass(frozen=True)
class StackSnapshot:
    """What there is of a stack. ``status`` is None without one; ``template`` is the one it was last deployed with.

    ``retained`` are names of resources that outlived an earlier stack of this name: the new one imports them.
    ``bucket`` exists and takes a template that is too large to be sent with the call; None when there is none.
    """

    stack_name: str
    status: str | None = None
    status_reason: str = ""
    template: Mapping[str, Any] | None = None
    parameters: Mapping[str, str] | None = None
    retained: tuple[str, ...] = ()
    bucket: str | None = None


@dataclass(frozen=True)
class WaitForStack:
    """Wait until nothing changes the stack any more."""

    stack_name: str
    status: str

    def __str__(self) -> str:
        return f"wait: stack {self.stack_name} is {self.status}"


@dataclass(frozen=True)
class DeleteStack:
    """Delete what is left of a stack whose creation failed; buckets and repositories stay."""

    stack_name: str
    status: str
    reason: str

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        return f"delete stack {self.stack_name}: its creation failed, {self.status}{because}; it is created again"


@dataclass(frozen=True)
class UploadTemplate:
    """Put the template into a bucket, because it is too large to be sent with the call."""

    bucket: str
    key: str
    body: str

    def __str__(self) -> str:
        return f"upload the template, {len(self.body.encode()):,} bytes, to s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class ApplyTemplate:
    """Create a change set, execute it and wait for the stack. Either ``body`` or ``uploaded_to`` is set."""

    stack_name: str
    change: Literal["CREATE", "UPDATE"]
    parameters: Mapping[str, str]
    body: str | None
    uploaded_to: UploadTemplate | None
    adopt: tuple[str, ...]
    changes: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.change.lower()} stack {self.stack_name}"]
        lines += [f"  adopt {name}, which outlived an earlier stack" for name in self.adopt]
        return "\n".join([*lines, *(f"  {change}" for change in self.changes)])


Step = WaitForStack | DeleteStack | UploadTemplate | ApplyTemplate


@dataclass(frozen=True)
class Plan:
    """Steps in order; none when there is nothing to do. ``replan``: what follows depends on how they end."""

    steps: tuple[Step, ...]
    replan: bool = False


def check_stack_name(stack_name: str) -> None:
    """Raises TemplateError for a name from which no bucket, repository and role names can be made."""
    if not _STACK_NAME.fullmatch(stack_name):
        expected = "1 to 32 lower-case letters, digits and single hyphens, a letter first"
        remedy = "choose another --stack-name; the bucket and the roles are named after it"
        raise TemplateError("stack name", repr(stack_name), expected, remedy)


def plan_deployment(found: StackSnapshot, template: PackagedTemplate, overrides: Mapping[str, str]) -> Plan:
    """The steps that bring the stack from ``found`` to ``template``, with ``overrides`` as parameters.

    A parameter that is not overridden keeps its value. Raises TemplateError, with all problems at once, for parameters
    that are unknown, missing or not allowed; DeploymentError for a stack that a person has to repair.
    """
    state, status = stack_state(found.status), found.status or ""
    match state:
        case StackState.BUSY:
            return Plan((WaitForStack(found.stack_name, status),), replan=True)
        case StackState.BROKEN_CREATION:
            return Plan((DeleteStack(found.stack_name, status, found.status_reason),), replan=True)
        case StackState.STUCK:
            text = f"{status}: {found.status_reason}".rstrip(": ")
            raise DeploymentError(f"stack {found.stack_name}", text, "", _STUCK_REMEDY[status])
        case StackState.ABSENT:
            found = replace(found, template=None, parameters=None)  # what a deleted stack had is not kept
    parameters = effective_parameters(found, template, overrides)
    unchanged = template.document == found.template and _with_defaults(template, parameters) == found.parameters
    if state is StackState.DEPLOYED and unchanged:
        return Plan(())
    upload = _upload(found, template)
    step = ApplyTemplate(
        found.stack_name,
        "CREATE" if state is StackState.ABSENT else "UPDATE",
        parameters,
        body=None if upload else template.body,
        uploaded_to=upload,
        adopt=found.retained if state is StackState.ABSENT else (),
        changes=_changes(found, template, parameters),
    )
    return Plan((upload, step) if upload else (step,))


def effective_parameters(
    found: StackSnapshot, template: PackagedTemplate, overrides: Mapping[str, str]
) -> dict[str, str]:
    """The parameters to send: the overrides, and earlier values of parameters that the template still declares.

    An earlier value equal to the old template's default was not set by anybody: it follows the new default.
    """
    old = (found.template or {}).get("Parameters", {})
    given = {
        name: value
        for name, value in (found.parameters or {}).items()
        if name in template.parameters and value != _default(old.get(name, {}))
    }
    parameters = given | dict(overrides)
    if problems := [*_problems(template, parameters)]:
        known = ", ".join(sorted(template.parameters))
        raise TemplateError(template.source, "; ".join(problems), "", f"the template's parameters are {known}")
    return parameters


def _upload(found: StackSnapshot, template: PackagedTemplate) -> UploadTemplate | None:
    size = template.size_bytes
    if size <= MAX_INLINE_BYTES:
        return None
    if size > MAX_TEMPLATE_BYTES:
        raise TemplateError(template.source, f"{size:,} bytes packaged", f"at most {MAX_TEMPLATE_BYTES:,}")
    if found.bucket is None:
        expected = f"at most {MAX_INLINE_BYTES:,} until the stack's bucket exists"
        remedy = "name a bucket to upload it to with --template-bucket"
        raise TemplateError(template.source, f"{size:,} bytes packaged", expected, remedy)
    return UploadTemplate(found.bucket, f"stepbridge/templates/{template.digest[:16]}.json", template.body)


def _changes(found: StackSnapshot, template: PackagedTemplate, parameters: Mapping[str, str]) -> tuple[str, ...]:
    old = (found.template or {}).get("Resources", {})
    new = template.document["Resources"]
    lines = [_change("add", name, new) for name in new if name not in old]
    lines += [_change("modify", name, new) for name in new if name in old and new[name] != old[name]]
    lines += [_change("remove", name, old) for name in old if name not in new]
    after = _with_defaults(template, parameters)
    before = after if found.parameters is None else found.parameters
    lines += [
        f"set {name} from {before.get(name)!r} to {after[name]!r}" for name in after if before.get(name) != after[name]
    ]
    return tuple(lines)


def _change(verb: str, logical_id: str, resources: Mapping[str, Any]) -> str:
    resource = resources[logical_id]
    condition = f", if {resource['Condition']}" if "Condition" in resource else ""
    return f"{verb} {logical_id} ({resource['Type']}{condition})"


def _with_defaults(template: PackagedTemplate, parameters: Mapping[str, str]) -> dict[str, str]:
    defaults = {name: _default(declared) for name, declared in template.parameters.items()}
    return {name: value for name, value in (defaults | dict(parameters)).items() if value is not None}


def _default(declared: Mapping[str, Any]) -> str | None:
    return str(declared["Default"]) if "Default" in declared else None


def _problems(template: PackagedTemplate, parameters: Mapping[str, str]) -> Iterator[str]:
    """What CloudFormation would reject: parameters that are not declared, missing or not allowed."""
    for name in sorted(parameters.keys() - template.parameters.keys()):
        yield f"parameter {name}: not declared"
    for name, declared in template.parameters.items():
        if "Default" not in declared and name not in parameters:
            yield f"parameter {name}: no value and no default"
    for name in sorted(parameters.keys() & template.parameters.keys()):
        declared, value = template.parameters[name], parameters[name]
        allowed = [str(choice) for choice in declared.get("AllowedValues", [])]
        if allowed and value not in allowed:
            yield f"parameter {name}: {value!r}; expected one of {', '.join(allowed)}"
        elif "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], value):
            expected = declared.get("ConstraintDescription", declared["AllowedPattern"])
            yield f"parameter {name}: {value!r}; expected {expected}"
