"""The plan for every state that a stack can be in."""

from __future__ import annotations

import pickle
from typing import Any

import botocore.session
import pytest

from stepbridge.deployment._plan import (
    ApplyTemplate,
    DeleteStack,
    StackSnapshot,
    UploadTemplate,
    WaitForStack,
    check_stack_name,
    plan_deployment,
)
from stepbridge.deployment._stack_status import STACK_STATUSES, StackState, stack_state
from stepbridge.deployment._template import MAX_INLINE_BYTES, MAX_TEMPLATE_BYTES, PackagedTemplate
from stepbridge.errors import DeploymentError, FailedResource, StackFailedError, TemplateError


def a_template(**changes: Any) -> PackagedTemplate:
    document: dict[str, Any] = {
        "Parameters": {
            "Image": {"Type": "String", "AllowedPattern": "[a-z]+:[0-9]+", "ConstraintDescription": "name:number"},
            "Days": {"Type": "Number", "Default": 30},
            "Level": {"Type": "String", "Default": "ERROR", "AllowedValues": ["ALL", "ERROR"]},
        },
        "Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}, "Role": {"Type": "AWS::IAM::Role"}},
    }
    return PackagedTemplate("stack.yaml", document | changes)


IMAGE = {"Image": "a:1"}
ALL = {"Image": "a:1", "Days": "30", "Level": "ERROR"}


def found(status: str | None, template: PackagedTemplate | None = None, **changes: Any) -> StackSnapshot:
    there = status is not None
    values: dict[str, Any] = {
        "template": (template or a_template()).document if there else None,
        "parameters": ALL if there else None,
    }
    return StackSnapshot("s", status=status, **(values | changes))


def test_every_status_of_the_service_model_has_a_row() -> None:
    """A status that CloudFormation may answer with is never unknown."""
    model = botocore.session.get_session().get_service_model("cloudformation")
    assert set(model.shape_for("StackStatus").enum) == set(STACK_STATUSES)


def test_a_status_without_a_row_is_an_error() -> None:
    """Nothing is done with a stack in an unknown state."""
    with pytest.raises(DeploymentError, match="'ASLEEP'; expected one of CREATE_COMPLETE"):
        stack_state("ASLEEP")


@pytest.mark.parametrize("status", [None, "DELETE_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_a_stack_that_is_not_there_is_created(status: str | None) -> None:
    """Also when a change set for it was created and never executed."""
    (step,) = plan_deployment(found(status), a_template(), IMAGE).steps
    assert isinstance(step, ApplyTemplate)
    assert (step.change, step.parameters, step.adopt) == ("CREATE", IMAGE, ())
    assert step.body == a_template().body
    assert str(step) == "create stack s\n  add Bucket (AWS::S3::Bucket)\n  add Role (AWS::IAM::Role)"


def test_what_outlived_an_earlier_stack_is_adopted() -> None:
    """A bucket of the stack's name is taken into the new stack, and the plan says so."""
    (step,) = plan_deployment(found(None, retained=("s-1-r",)), a_template(), IMAGE).steps
    assert isinstance(step, ApplyTemplate)
    assert step.adopt == ("s-1-r",)
    assert "  adopt s-1-r, which outlived an earlier stack" in str(step)


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"])
def test_nothing_is_done_when_nothing_changed(status: str) -> None:
    """The same template and parameters need not even a change set."""
    assert plan_deployment(found(status), a_template(), {}).steps == ()
    assert plan_deployment(found(status), a_template(), {"Level": "ERROR"}).steps == ()


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED"])
def test_a_change_that_was_undone_is_tried_again(status: str) -> None:
    """CloudFormation decides, because what is there may differ from the template."""
    (step,) = plan_deployment(found(status), a_template(), {}).steps
    assert isinstance(step, ApplyTemplate)
    assert step.change == "UPDATE"


def test_an_update_says_what_changes() -> None:
    """Resources added, changed and removed, and parameters with their values."""
    new = a_template(Resources={"Bucket": {"Type": "AWS::S3::Bucket", "X": 1}, "Log": {"Type": "L", "Condition": "C"}})
    (step,) = plan_deployment(found("CREATE_COMPLETE"), new, {"Level": "ALL"}).steps
    assert isinstance(step, ApplyTemplate)
    assert step.parameters == IMAGE | {"Level": "ALL"}
    assert step.changes == (
        "add Log (L, if C)",
        "modify Bucket (AWS::S3::Bucket)",
        "remove Role (AWS::IAM::Role)",
        "set Level from 'ERROR' to 'ALL'",
    )


def test_a_parameter_keeps_what_it_was_given() -> None:
    """But one that was never given follows the template's default, and one that is gone is forgotten."""
    was_given = found("CREATE_COMPLETE", parameters=ALL | {"Days": "7", "Gone": "x"})
    declared = a_template().document["Parameters"] | {"Level": {"Type": "String", "Default": "ALL"}}
    (step,) = plan_deployment(was_given, a_template(Parameters=declared), {}).steps
    assert isinstance(step, ApplyTemplate)
    assert step.parameters == IMAGE | {"Days": "7"}


@pytest.mark.parametrize("status", [s for s, state in STACK_STATUSES.items() if state is StackState.BUSY])
def test_a_stack_that_is_being_changed_is_waited_for(status: str) -> None:
    """What comes next is decided when it is known how that ended."""
    plan = plan_deployment(found(status), a_template(), {})
    assert plan.steps == (WaitForStack("s", status),)
    assert plan.replan


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"])
def test_the_remains_of_a_failed_creation_are_deleted_first(status: str) -> None:
    """CloudFormation lets nothing else be done with them."""
    plan = plan_deployment(found(status, status_reason="no permission"), a_template(), {})
    assert plan.steps == (DeleteStack("s", status, "no permission"),)
    assert plan.replan
    assert str(plan.steps[0]) == f"delete stack s: its creation failed, {status} (no permission); it is created again"


@pytest.mark.parametrize("status", ["DELETE_FAILED", "UPDATE_ROLLBACK_FAILED", "IMPORT_ROLLBACK_FAILED"])
def test_a_stack_that_is_stuck_is_left_to_a_person(status: str) -> None:
    """The error gives CloudFormation's reason and what to do."""
    with pytest.raises(DeploymentError, match=f"stack s: {status}: why; .*(repair|remove)"):
        plan_deployment(found(status, status_reason="why"), a_template(), {})


def test_all_problems_of_parameters_are_reported_at_once() -> None:
    """Unknown, missing, against the pattern, not among the allowed values."""
    with pytest.raises(TemplateError) as caught:
        plan_deployment(found(None), a_template(), {"Levle": "ALL", "Level": "LOUD"})
    assert caught.value.found == (
        "parameter Levle: not declared; parameter Image: no value and no default; "
        "parameter Level: 'LOUD'; expected one of ALL, ERROR"
    )
    assert "Days, Image, Level" in caught.value.remedy
    with pytest.raises(TemplateError, match=r"parameter Image: 'A'; expected name:number"):
        plan_deployment(found(None), a_template(), {"Image": "A"})


def test_a_large_template_is_uploaded_first() -> None:
    """Into the bucket that exists, under its digest."""
    large = a_template(Description="x" * MAX_INLINE_BYTES)
    upload, step = plan_deployment(found("CREATE_COMPLETE", bucket="b"), large, {}).steps
    assert upload == UploadTemplate("b", f"stepbridge/templates/{large.digest[:16]}.json", large.body)
    assert isinstance(step, ApplyTemplate)
    assert (step.body, step.uploaded_to) == (None, upload)


def test_a_large_template_needs_a_bucket_and_has_a_limit() -> None:
    """The first deployment of one names the option that helps."""
    with pytest.raises(TemplateError, match="--template-bucket"):
        plan_deployment(found(None), a_template(Description="x" * MAX_INLINE_BYTES), IMAGE)
    with pytest.raises(TemplateError, match="expected at most 1,048,576"):
        plan_deployment(found(None, bucket="b"), a_template(Description="x" * MAX_TEMPLATE_BYTES), IMAGE)


@pytest.mark.parametrize("name", ["stepbridge", "a", "team-2-models", "a" * 32])
def test_stack_names_that_buckets_and_roles_can_have(name: str) -> None:
    """Such a name is accepted, and the longest role name with it fits."""
    check_stack_name(name)
    assert len(f"{name}-us-isof-south-1-batch-inference") <= 64
    assert len(f"{name}-111122223333-us-isof-south-1") <= 63


@pytest.mark.parametrize("name", ["", "Stack", "1a", "a_b", "a--b", "a-", "a" * 33, "a\n", "a/b"])
def test_other_stack_names_are_refused(name: str) -> None:
    """Before AWS is called."""
    with pytest.raises(TemplateError, match=r"stack name: .*; expected 1 to 32 lower-case"):
        check_stack_name(name)


def test_a_failed_stack_keeps_its_reasons_through_pickle() -> None:
    """The text lists them, and a program can read them."""
    failure = FailedResource("Role", "AWS::IAM::Role", "CREATE_FAILED", "not authorized")
    error = pickle.loads(pickle.dumps(StackFailedError.of("s", "ROLLBACK_COMPLETE", [failure], "deploy again")))
    assert error.failures == (failure,)
    assert str(error) == (
        "stack s: ended in ROLLBACK_COMPLETE\n  Role (AWS::IAM::Role) CREATE_FAILED: not authorized; deploy again"
    )
