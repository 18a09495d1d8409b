"""Permissions of users and roles at the API, enforced on demand: created keys, assumed roles, AWS's errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.faulty_local_aws import FaultyAws

ACCOUNT = "123456789012"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


class Iam(FaultyAws):
    """Makes users and roles with the policies that a test is about."""

    def policy(self, *statements: dict[str, Any]) -> str:
        return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})

    def user(self, *statements: dict[str, Any]) -> tuple[str, dict[str, str]]:
        """A new user's name and keys."""
        iam, name = self.client("iam"), self.unique("user")
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=self.policy(*statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return name, {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}

    def role(self, principal: dict[str, Any], *statements: dict[str, Any]) -> str:
        """A new role's ARN."""
        iam, name = self.client("iam"), self.unique("role")
        trust = self.policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=self.policy(*statements))
        return str(arn)

    def assumed(self, keys: dict[str, str], role: str, **more: Any) -> dict[str, str]:
        """The keys of a session."""
        given = self.impatient("sts", **keys).assume_role(RoleArn=role, RoleSessionName="a-session", **more)[
            "Credentials"
        ]
        return {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iam]:
    aws = Iam(tmp_path_factory.mktemp("iam-local-aws"))
    aws.client("s3").create_bucket(Bucket="data")
    aws.client("s3").put_object(Bucket="data", Key="a/b", Body=b"x")
    aws.faults({"fault": "iam"})
    yield aws
    aws.close()


def refused(call: Any, *arguments: Any, **keywords: Any) -> tuple[str, str, int]:
    """Code, message and HTTP status of the error."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **keywords)
    error = caught.value.response
    return error["Error"]["Code"], error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


def test_without_enforcement_everybody_may_do_everything(aws: Iam) -> None:
    """As it is unless asked for; it can be switched while the local AWS runs."""
    _, keys = aws.user()
    aws.faults()
    try:
        assert aws.impatient("stepfunctions", **keys).list_state_machines()["stateMachines"] == []
    finally:
        aws.faults({"fault": "iam"})
    assert refused(aws.impatient("stepfunctions", **keys).list_state_machines)[0] == "AccessDeniedException"


def test_a_missing_permission_is_refused_in_aws_words(aws: Iam) -> None:
    """In the protocol, with the code and the status of each service."""
    name, keys = aws.user()
    arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
    machine = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:m"
    code, message, status = refused(aws.impatient("stepfunctions", **keys).start_execution, stateMachineArn=machine)
    assert (code, status) == ("AccessDeniedException", 400)
    assert message == (
        f"User: {arn} is not authorized to perform: states:StartExecution on resource: {machine} "
        "because no identity-based policy allows the states:StartExecution action"
    )
    code, message, status = refused(aws.impatient("s3", **keys).get_object, Bucket="data", Key="a/b")
    assert (code, status) == ("AccessDenied", 403)
    assert message.startswith(
        f'User: {arn} is not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::data/a/b"'
    )
    assert refused(aws.impatient("s3", **keys).head_object, Bucket="data", Key="a/b")[2] == 403
    assert refused(aws.impatient("iam", **keys).list_users)[::2] == ("AccessDenied", 403)
    assert refused(aws.impatient("ecr", **keys).get_authorization_token)[::2] == ("AccessDeniedException", 400)
    assert refused(aws.impatient("logs", **keys).describe_log_groups)[::2] == ("AccessDeniedException", 400)
    assert aws.impatient("sts", **keys).get_caller_identity()["Arn"] == arn


def test_policies_of_users_groups_and_managed_ones_count(aws: Iam) -> None:
    """And an explicit Deny in any of them."""
    iam, (name, keys) = aws.client("iam"), aws.user()
    s3 = aws.impatient("s3", **keys)
    group = aws.unique("group")
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=name)
    read = aws.policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/*"})
    iam.put_group_policy(GroupName=group, PolicyName="read", PolicyDocument=read)
    assert s3.get_object(Bucket="data", Key="a/b")["Body"].read() == b"x"
    listing = aws.policy(
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": "*",
            "Condition": {"StringLike": {"s3:prefix": "a/*"}},
        }
    )
    managed = iam.create_policy(PolicyName=aws.unique("managed"), PolicyDocument=listing)["Policy"]["Arn"]
    iam.attach_user_policy(UserName=name, PolicyArn=managed)
    assert s3.list_objects_v2(Bucket="data", Prefix="a/")["KeyCount"] == 1
    assert refused(s3.list_objects_v2, Bucket="data", Prefix="c/")[0] == "AccessDenied"
    iam.put_user_policy(
        UserName=name, PolicyName="no", PolicyDocument=aws.policy({"Effect": "Deny", "Action": "s3:*", "Resource": "*"})
    )
    assert refused(s3.get_object, Bucket="data", Key="a/b")[1].endswith(
        "with an explicit deny in an identity-based policy"
    )


def test_a_missing_object_reads_as_denied_to_who_may_not_list(aws: Iam) -> None:
    """404 only with s3:ListBucket, as on AWS."""
    get = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    _, keys = aws.user(get)
    assert refused(aws.impatient("s3", **keys).head_object, Bucket="data", Key="none")[2] == 403
    _, keys = aws.user(get, {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"})
    assert refused(aws.impatient("s3", **keys).head_object, Bucket="data", Key="none")[2] == 404


def test_a_bucket_policy_grants_and_denies(aws: Iam) -> None:
    """It may name a user; its Deny is for everybody that it names, root too."""
    name, keys = aws.user()
    root = aws.client("s3")
    root.create_bucket(Bucket="shared")
    root.put_object(Bucket="shared", Key="k", Body=b"y")
    grant = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::shared/*",
    }
    tls = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::shared/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    root.put_bucket_policy(Bucket="shared", Policy=aws.policy(grant, tls))
    assert aws.impatient("s3", **keys).get_object(Bucket="shared", Key="k")["Body"].read() == b"y"
    closed = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shared/*"}
    root.put_bucket_policy(Bucket="shared", Policy=aws.policy(grant, closed))
    assert refused(aws.impatient("s3").get_object, Bucket="shared", Key="k")[1].endswith(
        "with an explicit deny in a resource-based policy"
    )


def test_assumed_roles_have_their_roles_permissions(aws: Iam) -> None:
    """Of the role, not of who assumed it; a session policy takes away from them."""
    name, keys = aws.user()
    role = aws.role(
        {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}, {"Effect": "Allow", "Action": "states:*", "Resource": "*"}
    )
    session = aws.assumed(keys, role)
    assert aws.impatient("stepfunctions", **session).list_state_machines()["stateMachines"] == []
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.rpartition('/')[2]}/a-session"
    assert refused(aws.impatient("s3", **session).list_buckets)[1].startswith(f"User: {arn} is not authorized")
    limited = aws.assumed(keys, role, Policy=aws.policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}))
    assert refused(aws.impatient("stepfunctions", **limited).list_state_machines)[1].endswith(
        "because no session policy allows the states:ListStateMachines action"
    )


def test_a_role_is_assumed_by_whom_it_trusts(aws: Iam) -> None:
    """AWS's message for everybody else, also for a role that is not there."""
    name, keys = aws.user(EVERYTHING)
    foreign = aws.role({"Service": "states.amazonaws.com"})
    code, message, status = refused(aws.assumed, keys, foreign)
    assert (code, status) == ("AccessDenied", 403)
    user = f"arn:aws:iam::{ACCOUNT}:user/{name}"
    assert message == f"User: {user} is not authorized to perform: sts:AssumeRole on resource: {foreign}"
    assert refused(aws.assumed, keys, f"arn:aws:iam::{ACCOUNT}:role/none")[0] == "AccessDenied"
    by_account = aws.role({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    assert aws.assumed(keys, by_account)["aws_session_token"]
    _, without = aws.user()
    assert refused(aws.assumed, without, by_account)[0] == "AccessDenied"


def test_keys_that_are_no_more(aws: Iam) -> None:
    """Deleted, inactive, with another session's token, or of a deleted role: unknown to AWS."""
    iam, (name, keys) = aws.client("iam"), aws.user(EVERYTHING)
    sfn = aws.impatient("stepfunctions", **keys)
    assert sfn.list_state_machines()["stateMachines"] == []
    role = aws.role({"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}, EVERYTHING)
    session = aws.assumed(keys, role)
    crossed = session | {"aws_session_token": "another"}
    assert refused(aws.impatient("stepfunctions", **crossed).list_state_machines)[0] == "InvalidClientTokenId"
    iam.update_access_key(UserName=name, AccessKeyId=keys["aws_access_key_id"], Status="Inactive")
    assert refused(sfn.list_state_machines)[1] == "The security token included in the request is invalid."
    iam.delete_access_key(UserName=name, AccessKeyId=keys["aws_access_key_id"])
    assert refused(sfn.list_state_machines)[0] == "UnrecognizedClientException"
    assert refused(aws.impatient("s3", **keys).list_buckets)[0] == "InvalidAccessKeyId"
    iam.delete_role_policy(RoleName=role.rpartition("/")[2], PolicyName="own")
    iam.delete_role(RoleName=role.rpartition("/")[2])
    assert refused(aws.impatient("stepfunctions", **session).list_state_machines)[0] == "InvalidClientTokenId"


def test_a_permissions_boundary_limits_a_role(aws: Iam) -> None:
    """What it does not allow, no policy gives."""
    name, keys = aws.user()
    role = aws.role({"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}, EVERYTHING)
    iam = aws.client("iam")
    only_s3 = aws.policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    boundary = iam.create_policy(PolicyName=aws.unique("boundary"), PolicyDocument=only_s3)["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=role.rpartition("/")[2], PermissionsBoundary=boundary)
    session = aws.assumed(keys, role)
    assert aws.impatient("s3", **session).list_buckets()["Buckets"]
    assert refused(aws.impatient("stepfunctions", **session).list_state_machines)[1].endswith(
        "because no permissions boundary allows the states:ListStateMachines action"
    )


def test_handing_a_role_to_a_service_takes_pass_role(aws: Iam) -> None:
    """CreateProcessingJob by a user: its own action, the tags, and the role."""
    job_role = aws.role({"Service": "sagemaker.amazonaws.com"}, EVERYTHING)
    create = {"Effect": "Allow", "Action": "sagemaker:CreateProcessingJob", "Resource": "*"}
    _, keys = aws.user(create)
    job = aws.job(aws.unique("job")) | {"RoleArn": job_role}
    code, message, _ = refused(aws.impatient("sagemaker", **keys).create_processing_job, **job)
    assert code == "AccessDeniedException"
    assert f"iam:PassRole on resource: {job_role}" in message
    _, keys = aws.user(create, {"Effect": "Allow", "Action": "iam:PassRole", "Resource": job_role})
    sagemaker = aws.impatient("sagemaker", **keys)
    assert sagemaker.create_processing_job(**job)["ProcessingJobArn"]
    tagged = aws.job(aws.unique("job"), RoleArn=job_role, Tags=[{"Key": "a", "Value": "b"}])
    assert "sagemaker:AddTags" in refused(sagemaker.create_processing_job, **tagged)[1]
    elsewhere = job | {"ProcessingJobName": aws.unique("job"), "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/none"}
    code, message, _ = refused(aws.impatient("sagemaker").create_processing_job, **elsewhere)
    assert code == "ValidationException"
    assert message.startswith(
        f"Could not assume role arn:aws:iam::{ACCOUNT}:role/none. Please ensure that the role exists"
    )


# --- state machines ---------------------------------------------------------------------------------------------------
RULE = {"Effect": "Allow", "Action": ["events:PutTargets", "events:PutRule", "events:DescribeRule"], "Resource": "*"}
JOB_ACTIONS = ("CreateProcessingJob", "AddTags", "DescribeProcessingJob", "ListTags", "StopProcessingJob")


def sagemaker_actions(*names: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": [f"sagemaker:{name}" for name in names], "Resource": "*"}


def run_job(aws: Iam, *actions: str, seconds: str = "0") -> tuple[str, str]:
    """Start a machine that runs one job, whose role may do these of SageMaker's actions; ARN and job name."""
    job_role = aws.role({"Service": "sagemaker.amazonaws.com"}, EVERYTHING)
    pass_role = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": job_role}
    role = aws.role({"Service": "states.amazonaws.com"}, RULE, pass_role, sagemaker_actions(*actions))
    name = aws.unique("job")
    task = aws.task(name, {"SECONDS": seconds})
    task["Arguments"]["RoleArn"] = job_role
    definition = json.dumps({"QueryLanguage": "JSONata", "StartAt": "Job", "States": {"Job": task}})
    machine = aws.sfn.create_state_machine(name=aws.unique("machine"), definition=definition, roleArn=role)
    return aws.start(machine["stateMachineArn"]), name


@pytest.mark.parametrize("missing", ["CreateProcessingJob", "AddTags", "DescribeProcessingJob", "ListTags"])
def test_each_action_of_a_state_machines_role_is_needed(aws: Iam, missing: str) -> None:
    """Step Functions creates, tags and describes the job in the role's name; the failure is SageMaker's."""
    arn, _ = run_job(aws, *(action for action in JOB_ACTIONS if action != missing))
    execution = aws.end(arn)
    assert (execution["status"], execution["error"]) == ("FAILED", "SageMaker.AmazonSageMakerException")
    assert f"is not authorized to perform: sagemaker:{missing} on resource: " in execution["cause"]
    assert "(Service: AmazonSageMaker; Status Code: 400; Error Code: AccessDeniedException; " in execution["cause"]


def test_a_machine_whose_role_has_all_actions_runs_its_job(aws: Iam) -> None:
    """And stops it when it is stopped."""
    arn, _ = run_job(aws, *JOB_ACTIONS)
    assert aws.end(arn)["status"] == "SUCCEEDED"
    arn, name = run_job(aws, *JOB_ACTIONS, seconds="60")
    aws.until(lambda: aws.job_exists(name), bool)
    aws.sfn.stop_execution(executionArn=arn)
    aws.until(lambda: aws.job_status(name), lambda status: status == "Stopped")


def test_a_stopped_execution_stops_its_job_only_if_the_role_may(aws: Iam) -> None:
    """Without StopProcessingJob the execution is aborted, and the job goes on."""
    arn, name = run_job(aws, *(action for action in JOB_ACTIONS if action != "StopProcessingJob"), seconds="1.5")
    aws.until(lambda: aws.job_exists(name), bool)
    aws.sfn.stop_execution(executionArn=arn)
    assert aws.end(arn)["status"] == "ABORTED"
    assert aws.job_status(name) == "InProgress"
    assert aws.until(lambda: aws.job_status(name), lambda status: status != "InProgress") == "Completed"


def test_a_machine_is_made_with_a_role_that_step_functions_can_use(aws: Iam) -> None:
    """It trusts the service, and may make the rule and deliver the log: else AccessDeniedException, as on AWS."""
    job = json.dumps(
        {
            "StartAt": "J",
            "States": {
                "J": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
                    "Parameters": {},
                    "End": True,
                }
            },
        }
    )
    nothing = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    logged = {
        "level": "ALL",
        "destinations": [
            {"cloudWatchLogsLogGroup": {"logGroupArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:g:*"}}
        ],
    }
    states, sagemaker = aws.role({"Service": "states.amazonaws.com"}), aws.role({"Service": "sagemaker.amazonaws.com"})

    def create(definition: str, role: str, **more: Any) -> tuple[str, str]:
        return refused(aws.sfn.create_state_machine, name=aws.unique("m"), definition=definition, roleArn=role, **more)[
            :2
        ]

    assert create(job, states) == ("AccessDeniedException", f"'{states}' is not authorized to create managed-rule.")
    assert create(nothing, sagemaker)[1].startswith("Neither the global service principal states.amazonaws.com")
    assert create(nothing, states, loggingConfiguration=logged)[1] == (
        "The state machine IAM Role is not authorized to access the Log Destination"
    )
    machine = aws.sfn.create_state_machine(name=aws.unique("m"), definition=nothing, roleArn=states)["stateMachineArn"]
    assert refused(aws.sfn.update_state_machine, stateMachineArn=machine, definition=job)[1].endswith("managed-rule.")


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_the_role_of_a_state_machine_in_another_partition(aws: Iam, region: str, partition: str) -> None:
    """The rule that it needs is the partition's own."""
    iam, states, name = aws.client("iam", region), aws.client("stepfunctions", region), aws.unique("role")
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=aws.policy(trust))["Role"]["Arn"]
    assert role == f"arn:{partition}:iam::{ACCOUNT}:role/{name}"
    resource = f"arn:{partition}:states:::sagemaker:createProcessingJob.sync"
    task = {"Type": "Task", "Resource": resource, "Parameters": {}, "End": True}
    job = json.dumps({"StartAt": "J", "States": {"J": task}})

    def allow_rules_of(owner: str) -> None:
        rule = f"arn:{owner}:events:{region}:{ACCOUNT}:rule/StepFunctionsGetEventsForSageMakerProcessingJobsRule"
        statement = {"Effect": "Allow", "Action": "events:*", "Resource": rule}
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=aws.policy(statement))

    allow_rules_of("aws")
    message = refused(states.create_state_machine, name=name, definition=job, roleArn=role)[1]
    assert message == f"'{role}' is not authorized to create managed-rule."
    allow_rules_of(partition)
    states.create_state_machine(name=name, definition=job, roleArn=role)
