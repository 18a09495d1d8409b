"""The permissions that operations need: action, resource, condition keys.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html. Operations without a row here are
checked by their action only, whatever resource a policy names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from stepbridge_local.http.api_call import ApiCall
from stepbridge_local.partitions import partition
from stepbridge_local.services.iam.decision import Need

__all__ = ["create_processing_job_needs", "log_resource", "needs_of", "pass_role", "processing_job_arn"]

Members = Mapping[str, Any]
Find = Callable[[ApiCall, Members], list[Need]]


def needs_of(call: ApiCall, members: Members) -> list[Need]:
    """The needs of a call with these members (of its JSON or its form). Empty for sts:GetCallerIdentity."""
    find = _TABLE.get(call.name) or _BY_SERVICE.get(call.service)
    return [Need(call.name)] if find is None else find(call, members)


def pass_role(role_arn: Any, service: str) -> list[Need]:
    """The needs of passing a role to a service; empty if no role is named."""
    if not isinstance(role_arn, str) or not role_arn:
        return []
    return [Need("iam:PassRole", role_arn, {"iam:passedtoservice": (service,)})]


def processing_job_arn(call: ApiCall, name: Any) -> str:
    return call.arn(f"processing-job/{name}")


def log_resource(call: ApiCall, group: Any, stream: Any = "") -> str:
    """The resource of an operation on a log group's streams, as CloudWatch Logs names it in a denial."""
    return call.arn(f"log-group:{group}:log-stream:{stream}", "logs")


# --- Step Functions ---------------------------------------------------------------------------------------------------
def _machine(call: ApiCall, members: Members) -> list[Need]:
    given = members.get("stateMachineArn") or members.get("resourceArn") or members.get("executionArn")
    return [Need(call.name, str(given or call.arn(f"stateMachine:{members.get('name', '*')}")))]


def _alias_or_version(call: ApiCall, members: Members) -> list[Need]:
    given = members.get("stateMachineAliasArn") or members.get("stateMachineVersionArn")
    return [Need(call.name, str(given))] if given else _machine(call, members)


def _machine_with_role(call: ApiCall, members: Members) -> list[Need]:
    return [*_machine(call, members), *pass_role(members.get("roleArn"), "states.amazonaws.com")]


# --- SageMaker --------------------------------------------------------------------------------------------------------
def create_processing_job_needs(call: ApiCall, members: Members) -> list[Need]:
    """CreateProcessingJob; with tags also AddTags, and the job's role is passed."""
    resource = processing_job_arn(call, members.get("ProcessingJobName"))
    tags = {str(tag.get("Key")): str(tag.get("Value")) for tag in members.get("Tags") or []}
    cluster = (members.get("ProcessingResources") or {}).get("ClusterConfig") or {}
    context: dict[str, tuple[str, ...]] = {f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()}
    if tags:
        context["aws:tagkeys"] = tuple(tags)
    if "InstanceType" in cluster:
        context["sagemaker:instancetypes"] = (str(cluster["InstanceType"]),)
    needs = [Need("sagemaker:CreateProcessingJob", resource, context)]
    if tags:
        needs.append(Need("sagemaker:AddTags", resource, context))
    return needs + pass_role(members.get("RoleArn"), "sagemaker.amazonaws.com")


def _job(call: ApiCall, members: Members) -> list[Need]:
    return [Need(call.name, processing_job_arn(call, members.get("ProcessingJobName")))]


# --- CodeBuild --------------------------------------------------------------------------------------------------------
def _project_arn(call: ApiCall, name: Any) -> str:
    text = str(name)
    return text if text.startswith("arn:") else call.arn(f"project/{text}")


def _project(call: ApiCall, members: Members) -> list[Need]:
    role = members.get("serviceRole") or members.get("serviceRoleOverride")
    name = members.get("projectName") or members.get("name")
    buildspec = members.get("buildspecOverride")
    context = {} if buildspec is None else {"codebuild:source.buildspec": (str(buildspec),)}
    return [Need(call.name, _project_arn(call, name), context), *pass_role(role, "codebuild.amazonaws.com")]


def _projects(call: ApiCall, members: Members) -> list[Need]:
    return [Need(call.name, _project_arn(call, name)) for name in members.get("names", [])]


def _builds(call: ApiCall, members: Members) -> list[Need]:
    """A build is ``<project>:<id>``. Permissions are checked for the project."""
    ids = members.get("ids") or [members.get("id")]
    names = {str(one).rpartition(":build/")[2].rpartition(":")[0] for one in ids}
    return [Need(call.name, _project_arn(call, name)) for name in sorted(names)]


# --- ECR, CloudWatch Logs ---------------------------------------------------------------------------------------------
def _repository(call: ApiCall, members: Members) -> list[Need]:
    names = members.get("repositoryNames") or [members.get("repositoryName", "*")]
    account = members.get("registryId") or call.account_id
    prefix = f"arn:{partition(call.region)}:ecr:{call.region}:{account}:repository"
    return [Need(call.name, f"{prefix}/{name}") for name in names]


def _log_group(call: ApiCall, members: Members) -> list[Need]:
    group = members.get("logGroupName") or str(members.get("logGroupIdentifier", "")).rpartition(":log-group:")[2]
    return [Need(call.name, log_resource(call, group, members.get("logStreamName", "")))]


# --- SQS, EventBridge, SNS --------------------------------------------------------------------------------------------
def _queue(call: ApiCall, members: Members) -> list[Need]:
    """A batch needs the permission of the single operation, because it has none of its own."""
    name = members.get("QueueName") or str(members.get("QueueUrl", "*")).rpartition("/")[2]
    return [Need(call.name.removesuffix("Batch"), call.arn(str(name)))]


def _rule(call: ApiCall, members: Members) -> list[Need]:
    bus = str(members.get("EventBusName") or "default").rpartition("/")[2]
    name = members.get("Name") or members.get("Rule") or "*"
    return [Need(call.name, call.arn(f"rule/{name}" if bus == "default" else f"rule/{bus}/{name}"))]


def _topic(call: ApiCall, members: Members) -> list[Need]:
    return [Need(call.name, str(members.get("TopicArn") or members.get("TargetArn") or "*"))]


# --- IAM, STS, CloudFormation -----------------------------------------------------------------------------------------
def _iam_entity(call: ApiCall, members: Members) -> list[Need]:
    return [Need(call.name, _iam_resource(call, members))]


def _iam_resource(call: ApiCall, members: Members) -> str:
    prefix = f"arn:{partition(call.region)}:iam::{call.account_id}"
    if "PolicyArn" in members and "Role" not in call.operation and "User" not in call.operation:
        return str(members["PolicyArn"])
    path = str(members.get("Path", "/"))
    for entity in ("Role", "User", "Group", "Policy"):
        if f"{entity}Name" in members and (entity != "Policy" or call.operation.endswith("Policy")):
            return f"{prefix}:{entity.lower()}{path}{members[f'{entity}Name']}"
    return "*"


def _stack(call: ApiCall, members: Members) -> list[Need]:
    name = str(members.get("StackName", "*"))
    resource = name if name.startswith("arn:") else call.arn(f"stack/{name}/*")
    return [Need(call.name, resource), *pass_role(members.get("RoleARN"), "cloudformation.amazonaws.com")]


def _nothing(_call: ApiCall, _members: Members) -> list[Need]:
    return []


def _of_all(call: ApiCall, _members: Members) -> list[Need]:
    return [Need(call.name, "*")]


_TABLE: Final[Mapping[str, Find]] = MappingProxyType(
    {
        "states:CreateStateMachine": _machine_with_role,
        "states:UpdateStateMachine": _machine_with_role,
        "states:ListStateMachines": lambda call, _: [Need(call.name, call.arn("stateMachine:*"))],
        "states:DescribeStateMachineAlias": _alias_or_version,
        "states:UpdateStateMachineAlias": _alias_or_version,
        "states:DeleteStateMachineAlias": _alias_or_version,
        "states:DeleteStateMachineVersion": _alias_or_version,
        "states:ValidateStateMachineDefinition": _of_all,
        "sagemaker:CreateProcessingJob": create_processing_job_needs,
        "sagemaker:DescribeProcessingJob": _job,
        "sagemaker:StopProcessingJob": _job,
        "sagemaker:ListProcessingJobs": _of_all,
        "sagemaker:ListTags": lambda call, members: [Need(call.name, str(members.get("ResourceArn")))],
        "codebuild:StartBuild": _project,
        "codebuild:CreateProject": _project,
        "codebuild:UpdateProject": _project,
        "codebuild:DeleteProject": _project,
        "codebuild:ListBuildsForProject": _project,
        "codebuild:BatchGetProjects": _projects,
        "codebuild:BatchGetBuilds": _builds,
        "codebuild:StopBuild": _builds,
        "codebuild:ListBuilds": _of_all,
        "codebuild:ListProjects": _of_all,
        "ecr:GetAuthorizationToken": _of_all,
        "logs:DescribeLogGroups": lambda call, _: [Need(call.name, log_resource(call, ""))],
        "sqs:ListQueues": _of_all,
        "events:PutRule": _rule,
        "events:DescribeRule": _rule,
        "events:DeleteRule": _rule,
        "events:EnableRule": _rule,
        "events:DisableRule": _rule,
        "events:PutTargets": _rule,
        "events:RemoveTargets": _rule,
        "events:ListTargetsByRule": _rule,
        "sns:Publish": _topic,
        "sts:GetCallerIdentity": _nothing,
        "sts:GetSessionToken": _nothing,
        "sts:AssumeRoleWithWebIdentity": _nothing,
        "sts:AssumeRoleWithSAML": _nothing,
    }
)
# The other operations of services with only one kind of resource.
_BY_SERVICE: Final[Mapping[str, Find]] = MappingProxyType(
    {
        "states": _machine,
        "ecr": _repository,
        "logs": _log_group,
        "iam": _iam_entity,
        "cloudformation": _stack,
        "sqs": _queue,
    }
)
