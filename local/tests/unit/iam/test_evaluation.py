"""Policies evaluated as IAM does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepbridge_local.services.iam.decision import Caller, Need, decide, decide_assume_role, denial, trusts_service
from stepbridge_local.services.iam.errors import PolicyError
from stepbridge_local.services.iam.policy import ANY_RESOURCE, Policy, parse_policy

ACCOUNT = "123456789012"
USER = f"arn:aws:iam::{ACCOUNT}:user/ann"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/runner"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/runner/one"
MACHINE = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:m"


def policy(*statements: dict[str, Any]) -> Policy:
    return parse_policy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return allow(action, resource, **more) | {"Effect": "Deny"}


def ann(*statements: dict[str, Any], **more: Any) -> Caller:
    return Caller(USER, ACCOUNT, [policy(*statements)] if statements else [], user_name="ann", user_id="AIDA1", **more)


def allowed(caller: Caller, action: str, resource: str = MACHINE, **context: str) -> bool:
    keys = {name.replace("__", ":").lower(): (value,) for name, value in context.items()}
    return decide(caller, Need(action, resource, keys)).allowed


# --- actions and resources --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("pattern", "action", "matched"),
    [
        ("states:StartExecution", "states:StartExecution", True),
        ("STATES:startexecution", "states:StartExecution", True),
        ("states:*", "states:StartExecution", True),
        ("states:Start*", "states:StartExecution", True),
        ("states:StartExecutio?", "states:StartExecution", True),
        ("*", "states:StartExecution", True),
        ("states:Start", "states:StartExecution", False),
        ("sagemaker:*", "states:StartExecution", False),
        ("states:Start.xecution", "states:StartExecution", False),
    ],
)
def test_actions(pattern: str, action: str, matched: bool) -> None:
    """Wildcards; case does not matter; nothing else is a pattern."""
    assert allowed(ann(allow(pattern)), action) is matched
    assert allowed(ann({"Effect": "Allow", "NotAction": pattern, "Resource": "*"}), action) is not matched


@pytest.mark.parametrize(
    ("pattern", "resource", "matched"),
    [
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a/b", True),
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket", False),
        ("arn:aws:s3:::bucket", "arn:aws:s3:::bucket/a", False),
        ("arn:aws:s3:::bucket/*_stepbridge/*", "arn:aws:s3:::bucket/out/_stepbridge/r.json", True),
        ("arn:aws:s3:::Bucket", "arn:aws:s3:::bucket", False),
        ("arn:*:states:*:*:stateMachine:m", MACHINE, True),
        (f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:?", MACHINE, True),
        ("arn:aws:s3:::${aws:username}/*", "arn:aws:s3:::ann/x", True),
        ("arn:aws:s3:::${aws:username}/*", "arn:aws:s3:::bob/x", False),
        ("arn:aws:s3:::${aws:missing}/*", "arn:aws:s3:::/x", False),
        ("arn:aws:s3:::${aws:missing, 'team'}/*", "arn:aws:s3:::team/x", True),
        ("arn:aws:s3:::b/${*}", "arn:aws:s3:::b/*", True),
        ("arn:aws:s3:::b/${*}", "arn:aws:s3:::b/x", False),
    ],
)
def test_resources(pattern: str, resource: str, matched: bool) -> None:
    """Wildcards and policy variables; case matters."""
    assert allowed(ann(allow("*", pattern)), "s3:GetObject", resource) is matched
    other = ann({"Effect": "Allow", "Action": "*", "NotResource": pattern})
    assert allowed(other, "s3:GetObject", resource) is not matched


def test_lists_and_single_values_are_the_same() -> None:
    """Statement, Action and Resource may be one or several."""
    one = parse_policy(json.dumps({"Statement": allow("s3:*", ["a", MACHINE])}))
    assert decide(Caller(USER, ACCOUNT, [one]), Need("s3:GetObject", MACHINE)).allowed
    assert allowed(ann(allow(["iam:*", "s3:Get*"])), "s3:GetObject")


def test_a_call_that_no_table_knows_is_judged_by_its_action() -> None:
    """Whatever resource a policy names."""
    assert allowed(ann(allow("sqs:SendMessage", "arn:aws:sqs:us-east-1:1:q")), "sqs:SendMessage", ANY_RESOURCE)
    assert not allowed(ann(allow("sqs:ReceiveMessage")), "sqs:SendMessage", ANY_RESOURCE)


# --- the decision -----------------------------------------------------------------------------------------------------
def test_nothing_is_allowed_by_itself_and_a_deny_beats_every_allow() -> None:
    """With AWS's reasons."""
    need = Need("states:StartExecution", MACHINE)
    assert decide(ann(), need).reason == "because no identity-based policy allows the states:StartExecution action"
    access = decide(ann(allow("*"), deny("states:*")), need)
    assert (access.allowed, access.reason) == (False, "with an explicit deny in an identity-based policy")


def test_the_root_of_the_account_may_do_everything_but_what_a_resource_denies() -> None:
    """A bucket policy's Deny is for root too."""
    root = Caller(f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, is_root=True)
    assert decide(root, Need("s3:GetObject", "arn:aws:s3:::b/k")).allowed
    closed = policy(deny("s3:*", Principal="*"))
    assert decide(root, Need("s3:GetObject", "arn:aws:s3:::b/k"), closed).reason == (
        "with an explicit deny in a resource-based policy"
    )


def test_every_limit_must_allow_too() -> None:
    """A permissions boundary and a session policy allow nothing by themselves."""
    boundary = {"permissions boundary": policy(allow("s3:*"))}
    need = Need("states:StartExecution", MACHINE)
    caller = ann(allow("*"), limits=boundary)
    assert decide(caller, need).reason == "because no permissions boundary allows the states:StartExecution action"
    assert decide(caller, Need("s3:GetObject", "arn:aws:s3:::b/k")).allowed
    assert not decide(ann(limits=boundary), Need("s3:GetObject", "arn:aws:s3:::b/k")).allowed
    session = ann(allow("*"), limits={"session policy": policy(allow("*"), deny("states:*"))})
    assert decide(session, need).reason == "with an explicit deny in a session policy"


@pytest.mark.parametrize(
    ("principal", "granted"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": USER}, True),
        ({"AWS": ["arn:aws:iam::123456789012:user/bob", USER]}, True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, False),  # leaves it to the caller's own policies
        ({"AWS": ACCOUNT}, False),
        ({"AWS": "arn:aws:iam::123456789012:user/bob"}, False),
        ({"Service": "sagemaker.amazonaws.com"}, False),
    ],
)
def test_a_resource_may_grant_within_the_account(principal: Any, granted: bool) -> None:
    """When it names the caller, not only the account."""
    bucket = policy(allow("s3:GetObject", "arn:aws:s3:::b/*", Principal=principal))
    assert decide(ann(), Need("s3:GetObject", "arn:aws:s3:::b/k"), bucket).allowed is granted


def test_across_accounts_both_sides_must_allow() -> None:
    """The resource's policy may name the other account as a whole."""
    need, bucket = Need("s3:GetObject", "arn:aws:s3:::b/k"), policy(allow("s3:*", Principal={"AWS": ACCOUNT}))
    assert decide(ann(allow("s3:*")), need, bucket, same_account=False).allowed
    assert not decide(ann(), need, bucket, same_account=False).allowed
    assert decide(ann(allow("s3:*")), need, None, same_account=False).reason == (
        "because no resource-based policy allows the s3:GetObject action"
    )


def test_not_principal_names_who_is_not_meant() -> None:
    """A Deny for everybody but one."""
    bucket = policy(deny("s3:*", NotPrincipal={"AWS": USER}))
    need = Need("s3:GetObject", "arn:aws:s3:::b/k")
    assert decide(ann(allow("s3:*")), need, bucket).allowed
    bob = Caller("arn:aws:iam::123456789012:user/bob", ACCOUNT, [policy(allow("*"))])
    assert not decide(bob, need, bucket).allowed


def test_the_messages_are_those_of_aws() -> None:
    """S3 puts the resource in quotes; a call without a known resource names none."""
    need = Need("states:StartExecution", MACHINE)
    assert denial(ann(), need, decide(ann(), need).reason) == (
        f"User: {USER} is not authorized to perform: states:StartExecution on resource: {MACHINE} "
        "because no identity-based policy allows the states:StartExecution action"
    )
    assert '"arn:aws:s3:::b/k"' in denial(ann(), Need("s3:GetObject", "arn:aws:s3:::b/k"), "")
    assert (
        denial(ann(), Need("sqs:SendMessage"), "x") == f"User: {USER} is not authorized to perform: sqs:SendMessage x"
    )


# --- conditions -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("operator", "wanted", "given", "holds"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", ["a", "b"], "b", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a", None, False),
        ("StringNotEquals", "a", "b", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", "a", None, True),
        ("StringEqualsIgnoreCase", "a", "A", True),
        ("StringNotEqualsIgnoreCase", "a", "A", False),
        ("StringLike", "a*", "abc", True),
        ("StringLike", "a?", "abc", False),
        ("StringNotLike", "a*", "abc", False),
        ("StringEqualsIfExists", "a", None, True),
        ("StringEqualsIfExists", "a", "b", False),
        ("NumericEquals", "10", "10.0", True),
        ("NumericLessThan", "10", "9", True),
        ("NumericLessThan", "10", "10", False),
        ("NumericLessThanEquals", 10, "10", True),
        ("NumericGreaterThan", 10, "11", True),
        ("NumericGreaterThanEquals", 10, "9", False),
        ("NumericNotEquals", 10, "9", True),
        ("NumericEquals", 10, "ten", False),
        ("DateLessThan", "2030-01-01T00:00:00Z", "2029-12-31T23:59:59Z", True),
        ("DateGreaterThan", "2030-01-01T00:00:00Z", "2029-12-31T23:59:59Z", False),
        ("DateEquals", "1893456000", "2030-01-01T00:00:00Z", True),
        ("DateEquals", "soon", "2030-01-01T00:00:00Z", False),
        ("Bool", "true", "true", True),
        ("Bool", True, "true", True),
        ("Bool", "false", "true", False),
        ("Bool", "false", None, False),
        ("BoolIfExists", "false", None, True),
        ("IpAddress", "127.0.0.0/8", "127.0.0.1", True),
        ("IpAddress", "10.0.0.0/8", "127.0.0.1", False),
        ("NotIpAddress", "10.0.0.0/8", "127.0.0.1", True),
        ("IpAddress", "anywhere", "127.0.0.1", False),
        ("ArnEquals", "arn:aws:iam::*:role/r", "arn:aws:iam::1:role/r", True),
        (
            "ArnLike",
            "arn:aws:sagemaker:us-east-1:1:processing-job/*",
            "arn:aws:sagemaker:us-east-1:1:processing-job/x",
            True,
        ),
        ("ArnLike", "arn:aws:s*:processing-job/x", "arn:aws:sagemaker:us-east-1:1:processing-job/x", False),
        ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::2:role/x", True),
        ("ArnNotEquals", "arn:aws:iam::1:role/x", "arn:aws:iam::1:role/x", False),
        ("BinaryEquals", "QQ==", "QQ==", True),
        ("Null", "true", None, True),
        ("Null", "true", "x", False),
        ("Null", "false", "x", True),
        ("Null", False, None, False),
        ("StringEquals", "${aws:username}", "ann", True),
        ("StringLike", "home/${aws:username}/*", "home/ann/x", True),
        ("StringEquals", "${aws:missing}", "", False),
    ],
)
def test_condition_operators(operator: str, wanted: Any, given: str | None, holds: bool) -> None:
    """A key that the request does not have fails an operator, and satisfies a negated one."""
    caller = ann(allow("s3:GetObject", Condition={operator: {"x:Key": wanted}}))
    context = {} if given is None else {"x:key": (given,)}
    assert decide(caller, Need("s3:GetObject", MACHINE, context)).allowed is holds


@pytest.mark.parametrize(
    ("operator", "given", "holds"),
    [
        ("ForAllValues:StringEquals", ("a", "b"), True),
        ("ForAllValues:StringEquals", ("a", "c"), False),
        ("ForAllValues:StringEquals", None, True),
        ("ForAnyValue:StringEquals", ("c", "b"), True),
        ("ForAnyValue:StringEquals", ("c",), False),
        ("ForAnyValue:StringEquals", None, False),
        ("ForAnyValue:StringNotEquals", ("a", "c"), True),
        ("ForAllValues:StringNotEquals", ("a", "c"), False),
    ],
)
def test_conditions_on_several_values(operator: str, given: tuple[str, ...] | None, holds: bool) -> None:
    """aws:TagKeys and the like."""
    caller = ann(allow("s3:GetObject", Condition={operator: {"aws:TagKeys": ["a", "b"]}}))
    context = {} if given is None else {"aws:tagkeys": given}
    assert decide(caller, Need("s3:GetObject", MACHINE, context)).allowed is holds


def test_all_conditions_must_hold_and_the_caller_is_one_of_the_keys() -> None:
    """aws:PrincipalArn of a session is its role's."""
    condition = {"ArnLike": {"aws:PrincipalArn": ROLE}, "StringEquals": {"aws:PrincipalAccount": ACCOUNT}}
    statement = allow("s3:GetObject", Condition=condition)
    session = Caller(SESSION, ACCOUNT, [policy(statement)], role_arn=ROLE)
    assert decide(session, Need("s3:GetObject", MACHINE)).allowed
    assert not allowed(ann(statement), "s3:GetObject")


def test_pass_role_is_for_one_service() -> None:
    """The condition of infra/stack.yaml."""
    caller = ann(
        allow("iam:PassRole", ROLE, Condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}})
    )
    assert allowed(caller, "iam:PassRole", ROLE, iam__PassedToService="sagemaker.amazonaws.com")
    assert not allowed(caller, "iam:PassRole", ROLE, iam__PassedToService="states.amazonaws.com")
    assert not allowed(caller, "iam:PassRole", ROLE + "x", iam__PassedToService="sagemaker.amazonaws.com")


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        "{}",
        '{"Statement": [{"Effect": "Maybe", "Action": "*"}]}',
        '{"Statement": [{"Effect": "Allow"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "NotAction": "*"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "*", "Condition": {"StringIs": {"a": "b"}}}]}',
    ],
)
def test_a_document_that_is_no_policy_is_refused(document: str) -> None:
    """It is not treated like a policy that denies."""
    with pytest.raises(PolicyError):
        parse_policy(document)


# --- roles ------------------------------------------------------------------------------------------------------------
def trust(principal: Any, **condition: Any) -> Policy:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}
    return policy(statement | ({"Condition": condition} if condition else {}))


@pytest.mark.parametrize(
    ("trusted", "own", "may"),
    [
        ({"AWS": USER}, (), True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, (), False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, (allow("sts:AssumeRole", ROLE),), True),
        ({"AWS": ACCOUNT}, (allow("sts:*"),), True),
        ({"AWS": "arn:aws:iam::123456789012:user/bob"}, (allow("*"),), False),
        ({"Service": "states.amazonaws.com"}, (allow("*"),), False),
        ({"AWS": USER}, (deny("sts:AssumeRole"),), False),
    ],
)
def test_who_may_assume_a_role(trusted: Any, own: tuple[dict[str, Any], ...], may: bool) -> None:
    """Whom it trusts: by name, or as one of an account whose own policies allow it."""
    assert decide_assume_role(ann(*own), Need("sts:AssumeRole", ROLE), trust(trusted)).allowed is may


def test_a_service_assumes_a_role_for_the_resource_that_the_trust_is_about() -> None:
    """aws:SourceAccount and aws:SourceArn, against the confused deputy."""
    trusted = trust(
        {"Service": ["states.amazonaws.com", "x.amazonaws.com"]},
        StringEquals={"aws:SourceAccount": ACCOUNT},
        ArnLike={"aws:SourceArn": f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:*"},
    )
    source = {"aws:sourceaccount": (ACCOUNT,), "aws:sourcearn": (MACHINE,)}
    assert trusts_service(trusted, "states.amazonaws.com", source)
    assert not trusts_service(trusted, "sagemaker.amazonaws.com", source)
    assert not trusts_service(trusted, "states.amazonaws.com", source | {"aws:sourceaccount": ("111111111111",)})
    assert not trusts_service(
        trusted, "states.amazonaws.com", source | {"aws:sourcearn": ("arn:aws:states:x:1:activity:y",)}
    )
