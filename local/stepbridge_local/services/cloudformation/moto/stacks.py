"""Stacks that are created, updated, rolled back and deleted as on AWS, with events and reasons for failures.

moto's own stacks ignore unknown resource types and properties, leave a failed creation half done, do not notice a
parameter inside ``Fn::Sub``, and have no outputs after a change set. moto's parsing of templates is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from moto.cloudformation.exceptions import UnformattedGetAttTemplateException
from moto.cloudformation.models import Event, Stack
from moto.cloudformation.parsing import OutputMap, clean_json
from moto.cloudformation.utils import random_suffix
from moto.core.exceptions import ServiceException

from stepbridge_local.services.cloudformation.moto.template import StackResources, parse_template
from stepbridge_local.services.cloudformation.physical_names import physical_name
from stepbridge_local.services.cloudformation.resource_type import (
    REFUSALS,
    Properties,
    ResourceFailedError,
    ReturnValues,
    StackContext,
    failure_reason,
)
from stepbridge_local.services.cloudformation.resources import resource_types

__all__ = ["LocalStack"]

_FAILURES: Final = (*REFUSALS, ServiceException)  # the latter from moto's template language


@dataclass(frozen=True)
class _StackResource:
    """A resource that exists. ``adopted``: it existed before its stack, so a rollback does not delete it."""

    logical_resource_id: str
    type_name: str
    properties: Properties
    values: ReturnValues
    adopted: bool
    is_retained: bool

    @property
    def physical_resource_id(self) -> str:
        return self.values.physical_id

    @property
    def cf_resource_type(self) -> str:
        return self.type_name

    def get_cfn_attribute(self, name: str) -> Any:
        if name not in self.values.attributes:
            raise UnformattedGetAttTemplateException
        return self.values.attributes[name]


class _ChangeFailedError(Exception):
    """A resource failed, and its event has been written."""

    def __init__(self, logical_id: str) -> None:
        super().__init__(logical_id)
        self.logical_id = logical_id


class LocalStack(Stack):
    """Replaces moto.cloudformation.models.Stack. Its resources are reached through ``context``."""

    resource_map: StackResources
    status_reason: str | None = None

    def __init__(self, context: StackContext, **options: Any) -> None:
        super().__init__(**options)
        self._context = context

    def _parse_template(self) -> None:
        self.template_dict = parse_template(str(self.template) if self.template else None)

    def has_template(self, other_template: str) -> bool:
        return bool(self.template_dict == parse_template(other_template))

    def _create_resource_map(self) -> StackResources:
        return self._resources(self.template_dict, self.parameters)

    @property
    def parameter_list(self) -> list[dict[str, str]]:
        """Replaces Stack.parameter_list, which formats lists and numbers like Python."""
        values = self.resource_map.resolved_parameters
        return [{"ParameterKey": name, "ParameterValue": _parameter_text(value)} for name, value in values.items()]

    @property
    def stack_name(self) -> str:
        """For ListStacks. moto makes its response from attributes with these names; its Stack has other names."""
        return str(self.name)

    @property
    def stack_status(self) -> str:
        return self.status

    @property
    def stack_parameters(self) -> dict[str, str]:
        """Replaces Stack.stack_parameters: the values for UsePreviousValue, with defaults, as they are given."""
        return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in self.parameter_list}

    def has_parameters(self, other_parameters: dict[str, Any]) -> bool:
        """Replaces Stack.has_parameters. A value that equals the default is not a change."""
        resolved = self._resources(self.template_dict, other_parameters).resolved_parameters
        return bool(resolved == self.resource_map.resolved_parameters)

    def begin(self, template: str, parameters: dict[str, Any]) -> None:
        """Accept the template of a change set. ``create`` makes its resources."""
        self.template, self.template_dict, self.parameters = template, parse_template(template), parameters
        self.description = self.template_dict.get("Description")
        self.resource_map = self._resources(self.template_dict, parameters)

    def create(self, adopting: bool) -> None:
        """Create all resources. ``adopting``: the stack takes over retained resources that exist already."""
        self.add_event("CREATE_IN_PROGRESS", "User Initiated")
        try:
            self._provide_all(self.resource_map, {}, adopting)
        except _ChangeFailedError as failure:
            self._undo_creation(failure)
            return
        except BaseException as error:
            self.add_event("CREATE_FAILED", f"Internal failure: {error!r}")  # not in progress for ever
            raise
        self.output_map = OutputMap(self.resource_map, self.template_dict, self.stack_id)
        self.add_event("CREATE_COMPLETE")

    def change(self, template: str, parameters: dict[str, Any]) -> None:
        """Change the resources to the new template and parameters. After a failure, roll back to the old ones."""
        old = self.template, self.template_dict, self.parameters, self.resource_map
        self.add_event("UPDATE_IN_PROGRESS", "User Initiated")
        self.template, self.template_dict, self.parameters = template, parse_template(template), parameters
        present = old[3].present()
        self.resource_map = self._resources(self.template_dict, parameters)
        try:
            self._provide_all(self.resource_map, present, adopting=False)
        except _ChangeFailedError as failure:
            self.add_event(
                "UPDATE_ROLLBACK_IN_PROGRESS", f"The following resource(s) failed to update: [{failure.logical_id}]."
            )
            attempted = self.resource_map.present()
            self.template, self.template_dict, self.parameters, _ = old
            self._roll_back(present, attempted)
            return
        except BaseException as error:
            self.add_event("UPDATE_ROLLBACK_FAILED", f"Internal failure: {error!r}")  # not in progress for ever
            raise
        self.add_event("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self._remove_superseded(present)
        self.output_map = OutputMap(self.resource_map, self.template_dict, self.stack_id)
        self.add_event("UPDATE_COMPLETE")

    def remove(self) -> bool:
        """Delete all resources that are not retained. False, and DELETE_FAILED, if one could not be deleted."""
        self.add_event("DELETE_IN_PROGRESS", "User Initiated")
        failed = self._delete_all(self.resource_map, keep_retained=True)
        self.output_map = OutputMap(self.resource_map, {}, self.stack_id)
        if failed:
            self.add_event("DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(failed)}].")
            return False
        self.add_event("DELETE_COMPLETE")
        return True

    def _resources(self, template: dict[str, Any], parameters: Mapping[str, Any]) -> StackResources:
        resources = StackResources(
            self.stack_id,
            self.name,
            dict(parameters),
            self.tags,
            account_id=self.account_id,
            region_name=self.region_name,
            template=template,
            cross_stack_resources=self.cross_stack_resources,
        )
        resources.load()
        return resources

    # --- forward
    def _provide_all(self, resources: StackResources, present: Mapping[str, _StackResource], adopting: bool) -> None:
        def provide(logical_id: str, declared: Mapping[str, Any], resources: StackResources) -> _StackResource:
            for dependency in _depends_on(declared):
                resources[dependency]
            return self._provide(logical_id, declared, resources, present.get(logical_id), adopting)

        resources.provide = provide
        try:
            for logical_id in resources.declared:
                resources[logical_id]
        finally:
            resources.provide = None

    def _provide(
        self,
        logical_id: str,
        declared: Mapping[str, Any],
        resources: StackResources,
        present: _StackResource | None,
        adopting: bool,
    ) -> _StackResource:
        type_name = declared["Type"]
        facts = logical_id, present.physical_resource_id if present else "", type_name
        action = "UPDATE" if present else "CREATE"
        try:
            properties = _resolved(declared.get("Properties") or {}, resources)
            resource_type = resource_types()[type_name]
            resource_type.check(properties)
            retained = declared.get("DeletionPolicy", "Delete") != "Delete"
            if present and present.type_name == type_name and present.properties == properties:
                return replace(present, is_retained=retained)
            self._add_resource_event(*facts, f"{action}_IN_PROGRESS")
            old = present.properties if present and present.type_name == type_name else None
            if present and old is not None and not resource_type.needs_replacement(old, properties):
                values = resource_type.configure(self._context, present.physical_resource_id, old, properties)
                adopted = present.adopted
            else:
                name = physical_name(type_name, self.name, logical_id, random_suffix())
                values, adopted = resource_type.provide(self._context, name, properties, adopting and retained)
        except _FAILURES as error:
            self._add_resource_event(*facts, f"{action}_FAILED", failure_reason(error))
            raise _ChangeFailedError(logical_id) from error
        self._add_resource_event(logical_id, values.physical_id, type_name, f"{action}_COMPLETE")
        return _StackResource(logical_id, type_name, properties, values, adopted, retained)

    # --- back
    def _undo_creation(self, failure: _ChangeFailedError) -> None:
        reason = f"The following resource(s) failed to create: [{failure.logical_id}]. Rollback requested by user."
        self.add_event("ROLLBACK_IN_PROGRESS", reason)
        failed = self._delete_all(self.resource_map, keep_retained=False)
        self.add_event("ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE", reason)

    def _roll_back(self, present: Mapping[str, _StackResource], attempted: Mapping[str, _StackResource]) -> None:
        """Roll back from the state that an update reached (``attempted``) to the state before it."""
        self.resource_map = self._resources(self.template_dict, self.parameters)
        changed = {
            name: attempted[name]
            for name, resource in present.items()
            if name in attempted and attempted[name].physical_resource_id == resource.physical_resource_id
        }
        try:
            self._provide_all(self.resource_map, {**present, **changed}, adopting=False)
        except _ChangeFailedError as failure:
            reason = f"The following resource(s) failed to update: [{failure.logical_id}]."
            self.add_event("UPDATE_ROLLBACK_FAILED", reason)
            return
        self._remove_superseded(attempted)
        self.output_map = OutputMap(self.resource_map, self.template_dict, self.stack_id)
        self.add_event("UPDATE_ROLLBACK_COMPLETE")

    def _remove_superseded(self, present: Mapping[str, _StackResource]) -> None:
        """Delete resources that are no longer in the template, and those that were replaced."""
        names = {resource.physical_resource_id for resource in self.resource_map.present().values()}
        for resource in reversed(list(present.values())):
            if resource.physical_resource_id not in names and not resource.is_retained:
                self._delete(resource)

    def _delete_all(self, resources: StackResources, keep_retained: bool) -> list[str]:
        """Delete in reverse order of creation. Returns the logical IDs of resources that could not be deleted."""
        failed = []
        for logical_id, resource in reversed(resources.present().items()):
            keep = resource.is_retained if keep_retained else resource.adopted
            if keep:
                self._add_resource_event(
                    logical_id, resource.physical_resource_id, resource.type_name, "DELETE_SKIPPED"
                )
            elif not self._delete(resource):
                failed.append(logical_id)
                continue
            resources.forget(logical_id)
        return failed

    def _delete(self, resource: _StackResource) -> bool:
        facts = resource.logical_resource_id, resource.physical_resource_id, resource.type_name
        try:
            resource_types()[resource.type_name].delete(
                self._context, resource.physical_resource_id, resource.properties
            )
        except _FAILURES as error:
            self._add_resource_event(*facts, "DELETE_FAILED", failure_reason(error))
            return False
        self._add_resource_event(*facts, "DELETE_COMPLETE")
        return True

    # --- events
    def add_event(self, status: str, reason: str | None = None) -> None:
        self.status = status
        self.status_reason = reason if reason and reason != "User Initiated" else None
        self._add_stack_event(status, resource_status_reason=reason)

    def _add_resource_event(
        self, logical_id: str, physical_id: str, type_name: str, status: str, reason: str | None = None
    ) -> None:
        self.events.append(Event(self.stack_id, self.name, logical_id, physical_id, type_name, status, reason, None))


def _depends_on(declared: Mapping[str, Any]) -> list[str]:
    names = declared.get("DependsOn", [])
    return [names] if isinstance(names, str) else names


def _resolved(properties: Mapping[str, Any], resources: StackResources) -> Mapping[str, Any]:
    """The properties with all intrinsic functions evaluated. Raises ResourceFailedError, ValidationError."""
    try:
        resolved: Mapping[str, Any] = _without_nothing(clean_json(properties, resources))
    except KeyError as error:
        raise ResourceFailedError(f"Unresolved resource dependencies [{error.args[0]}]") from None
    return resolved


def _without_nothing(value: Any) -> Any:
    """Without the items that ``AWS::NoValue`` left in lists. moto removes them from objects only."""
    if isinstance(value, dict):
        return {key: _without_nothing(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nothing(item) for item in value if item is not None]
    return value


def _parameter_text(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)
