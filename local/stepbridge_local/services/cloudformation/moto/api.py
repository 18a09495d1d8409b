"""The calls of CloudFormation that change stacks, on ``LocalStack``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from moto.cloudformation.exceptions import AlreadyExistsException, ValidationError
from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Stack
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudformation.utils import generate_changeset_id, generate_stack_id, validate_create_change_set

from stepbridge_local.services.cloudformation.moto.stacks import LocalStack
from stepbridge_local.services.cloudformation.moto.template import parse_template
from stepbridge_local.services.cloudformation.resource_type import StackContext

__all__ = ["LocalCloudFormation", "create_change_set", "get_template_summary", "leave_to_backend"]

_NOTHING_TO_DO = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
_UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
_moto_create_change_set = CloudFormationResponse.create_change_set
_moto_get_template_summary = CloudFormationResponse.get_template_summary


def create_change_set(response: CloudFormationResponse) -> Any:
    """Replaces CloudFormationResponse.create_change_set, which does not pass on ImportExistingResources."""
    answer: Any = _moto_create_change_set(response)
    change_set: Any = response.cloudformation_backend.change_sets[answer.result["Id"]]
    change_set.adopting = response._get_bool_param("ImportExistingResources", False)
    return answer


def get_template_summary(response: CloudFormationResponse) -> Any:
    """Replaces CloudFormationResponse.get_template_summary, which accepts a call without a template."""
    if not any(response._get_param(name) for name in ("StackName", "TemplateURL", "TemplateBody")):
        raise ValidationError(message="Either Stack Name or Template URL or Template Body must be specified.")
    return _moto_get_template_summary(response)


def leave_to_backend(*_arguments: object) -> None:
    """Replaces CloudFormationResponse._validate_different_update: a change set without changes is FAILED."""


def _with_previous_values(stack: LocalStack, parameters: list[dict[str, Any]]) -> dict[str, str]:
    """What UpdateStack was given. Replaces CloudFormationBackend._resolve_update_parameters, which forgets defaults."""
    previous = stack.stack_parameters
    resolved: dict[str, str] = {}
    for parameter in parameters:
        name = parameter["ParameterKey"]
        if not parameter.get("UsePreviousValue"):
            resolved[name] = parameter["ParameterValue"]
        elif name in previous:
            resolved[name] = previous[name]
        else:
            raise ValidationError(message=f"Parameter '{name}': the stack has no previous value of it to use")
    return resolved


class _ChangeSet(ChangeSet):
    """A change set. ``adopting``: ImportExistingResources."""

    adopting = False

    def _parse_template(self) -> None:
        self.template_dict = parse_template(self.template)


class LocalCloudFormation(CloudFormationBackend):
    """Replaces what changes stacks in moto's CloudFormationBackend. One change at a time, complete when a call returns.

    ``context_of(account_id, region)`` gives access to the resources of stacks.
    """

    context_of: Callable[[str, str], StackContext]
    _changing = threading.RLock()  # one for all accounts and regions, which share moto's backends of the resources

    def create_stack(self, name: str, template: str, parameters: dict[str, Any], *rest: Any, **options: Any) -> Stack:
        with self._changing:
            if self._find(name) is not None:
                raise AlreadyExistsException(f"Stack {name} already exists")
            assert not rest, "moto gives the options by name"
            stack = self._new_stack(name, template, parameters, **options)
            self.stacks[stack.stack_id] = stack
            stack.create(adopting=False)
            self._export(stack)
            return stack

    def update_stack(
        self,
        name: str,
        template: str,
        role_arn: str | None,
        parameters: list[dict[str, Any]],
        tags: dict[str, str] | None,
    ) -> Stack:
        with self._changing:
            stack = self._updatable(name)
            resolved = _with_previous_values(stack, parameters)
            if stack.has_template(template) and stack.has_parameters(resolved):
                raise ValidationError(message="No updates are to be performed.")
            stack.role_arn, stack.tags = role_arn, stack.tags if tags is None else tags
            stack.change(template, resolved)
            self._export(stack)
            return stack

    def create_change_set(
        self,
        stack_name: str,
        change_set_name: str,
        template: str,
        parameters: dict[str, str],
        description: str,
        change_set_type: str,
        notification_arns: list[str] | None = None,
        tags: dict[str, str] | None = None,
        role_arn: str | None = None,
    ) -> tuple[str, str]:
        validate_create_change_set(change_set_name)
        parse_template(template)
        with self._changing:
            if change_set_type == "UPDATE":
                stack = self._updatable(stack_name)
            else:
                stack = self._stack_in_review(stack_name, tags, role_arn, notification_arns)
            stack._resources(parse_template(template), parameters)  # invalid parameters fail here, as on AWS
            change_set_id = generate_changeset_id(change_set_name, self.region_name, self.account_id)
            change_set = _ChangeSet(
                change_set_type,
                change_set_id,
                change_set_name,
                stack,
                template,
                parameters,
                description,
                notification_arns,
                tags,
                role_arn,
            )
            unchanged = stack.template_dict == change_set.template_dict and stack.has_parameters(parameters)
            if change_set_type == "UPDATE" and unchanged:
                change_set.status, change_set.execution_status = "FAILED", "UNAVAILABLE"
                change_set.status_reason = _NOTHING_TO_DO
            else:
                change_set.status, change_set.execution_status = "CREATE_COMPLETE", "AVAILABLE"
            self.change_sets[change_set_id] = change_set
            return change_set_id, stack.stack_id

    def execute_change_set(self, change_set_name: str, stack_name: str | None = None) -> None:
        with self._changing:
            change_set = self._change_set(change_set_name, stack_name)
            if change_set.execution_status != "AVAILABLE":
                raise ValidationError(
                    message=f"ChangeSet [{change_set.change_set_id}] cannot be executed in its current status of "
                    f"[{change_set.status}]"
                )
            stack = change_set.stack
            assert isinstance(stack, LocalStack)
            if change_set.change_set_type == "CREATE":
                stack.begin(change_set.template, change_set.parameters)
                stack.create(change_set.adopting)
            else:
                stack.change(change_set.template, change_set.parameters)
            change_set.execution_status = "EXECUTE_COMPLETE"
            self._export(stack)

    def delete_change_set(self, change_set_name: str, stack_name: str | None = None) -> None:
        with self._changing:
            del self.change_sets[self._change_set(change_set_name, stack_name).change_set_id]

    def delete_stack(self, name_or_stack_id: str) -> None:
        with self._changing:
            stack = self._find(name_or_stack_id)
            if stack is None:
                return
            for name in [name for name, export in self.exports.items() if export.exporting_stack_id == stack.stack_id]:
                del self.exports[name]
            if stack.remove():
                del self.stacks[stack.stack_id]
                self.deleted_stacks[stack.stack_id] = stack

    def validate_template(self, template: str) -> list[Any]:
        """Raises ValidationError for a template from which no stack can be created; the list is empty.

        Replaces CloudFormationBackend.validate_template, which runs cfn-lint: AWS checks no more than the syntax.
        """
        parse_template(template)
        return []

    def _find(self, name_or_stack_id: str) -> LocalStack | None:
        found = [stack for stack in self.stacks.values() if name_or_stack_id in (stack.name, stack.stack_id)]
        return found[0] if found else None  # type: ignore[return-value]

    def _updatable(self, name: str) -> LocalStack:
        stack = self._find(name)
        if stack is None:
            raise ValidationError(message=f"Stack [{name}] does not exist")
        if stack.status not in _UPDATABLE:
            raise ValidationError(message=f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
        return stack

    def _stack_in_review(
        self, name: str, tags: dict[str, str] | None, role_arn: str | None, notification_arns: list[str] | None
    ) -> LocalStack:
        stack = self._find(name)
        if stack is None:
            stack = self._new_stack(name, {}, {}, tags=tags, role_arn=role_arn, notification_arns=notification_arns)
            self.stacks[stack.stack_id] = stack
            stack.add_event("REVIEW_IN_PROGRESS", "User Initiated")
        if stack.status != "REVIEW_IN_PROGRESS":
            raise ValidationError(
                message=f"Stack [{name}] already exists and cannot be created again with the changeSet."
            )
        return stack

    def _new_stack(self, name: str, template: Any, parameters: dict[str, Any], **options: Any) -> LocalStack:
        return LocalStack(  # type: ignore[abstract]
            context=self.context_of(self.account_id, self.region_name),
            stack_id=generate_stack_id(name, self.region_name, self.account_id),
            name=name,
            template=template,
            parameters=parameters,
            account_id=self.account_id,
            region_name=self.region_name,
            cross_stack_resources=self.exports,
            **options,
        )

    def _change_set(self, name: str, stack_name: str | None) -> _ChangeSet:
        for change_set in self.change_sets.values():
            of_stack = stack_name in (None, change_set.stack_name, change_set.stack_id)
            if name == change_set.change_set_id or (name == change_set.change_set_name and of_stack):
                return change_set  # type: ignore[return-value]
        raise ValidationError(message=f"ChangeSet [{name}] does not exist")

    def _export(self, stack: LocalStack) -> None:
        for export in stack.exports:
            self.exports[export.name] = export
