"""The table of services and operations that the local AWS has. All others are refused by name.

moto accepts many more operations that would do nothing: instances that never start, scans that find nothing,
replication that never happens. ``services.moto.application`` only lets the operations in this table through.
docs/operations.md shows it; ``python -m stepbridge_local.services.operations`` prints it. Tests compare it
with botocore's service models and call every operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from stepbridge_local.protocols import ServiceError

__all__ = ["SERVICES", "Service", "markdown", "refusal"]


@dataclass(frozen=True)
class Service:
    """One service. ``honoured`` operations do what AWS documents; ``notes`` add details to some.

    ``kept`` operations are accepted. Their settings are stored and described, but have no effect; the text says why.
    ``unmodelled`` operations are honoured too, but no client's model has them. ``only`` says in a refusal what works.
    """

    title: str
    model: str  # its name in botocore
    honoured: frozenset[str]
    kept: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    unmodelled: frozenset[str] = frozenset()
    only: str = ""

    @property
    def offered(self) -> frozenset[str]:
        return self.honoured | self.kept.keys()


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _crud(things: str, verbs: str = "Put Get Delete") -> str:
    """``_crud("BucketCors")`` is ``PutBucketCors GetBucketCors DeleteBucketCors``."""
    return " ".join(f"{verb}{thing}" for thing in things.split() for verb in verbs.split())


def _kept(reasons: Mapping[str, str]) -> Mapping[str, str]:
    """A row for each operation of a key, which names several."""
    return {operation: reason for operations, reason in reasons.items() for operation in operations.split()}


_S3 = Service(
    "S3",
    "s3",
    _names(
        "CreateBucket DeleteBucket HeadBucket ListBuckets GetBucketLocation "
        "PutObject GetObject HeadObject CopyObject DeleteObject DeleteObjects GetObjectAttributes "
        "ListObjects ListObjectsV2 ListObjectVersions "
        "CreateMultipartUpload UploadPart UploadPartCopy CompleteMultipartUpload AbortMultipartUpload "
        "ListParts ListMultipartUploads "
        "PutBucketVersioning GetBucketVersioning PutObjectLockConfiguration GetObjectLockConfiguration "
        + _crud("ObjectRetention ObjectLegalHold", "Put Get")
        + " "
        + _crud("ObjectTagging BucketTagging BucketPolicy")
    ),
    _kept(
        {
            _crud("BucketEncryption"): "nothing is encrypted; only its owner can read the data folder",
            _crud("PublicAccessBlock"): "buckets can be reached from this machine only, so none is public",
            _crud("BucketOwnershipControls"): "the bucket's account owns all objects in it",
            _crud("BucketAcl ObjectAcl", "Put Get"): "only unsigned reads check the ACL of an object",
            _crud("BucketLifecycleConfiguration BucketLifecycle", "Put Get") + " DeleteBucketLifecycle": (
                "objects do not expire: the shortest rule takes a day, and data folders do not live for years"
            ),
            _crud("BucketCors"): "web pages of other origins cannot reach the local AWS anyway",
        }
    ),
    {
        "PutBucketPolicy": "statements without a condition are always enforced",
        "GetObject": "ranges, versions, conditions; presigned URLs of both kinds, until they expire",
        "PutObject": "checksums are verified; browser forms (POST) also work",
    },
    unmodelled=frozenset({"PostObject"}),
)
_ECR = Service(
    "ECR",
    "ecr",
    _names(
        "CreateRepository DescribeRepositories DeleteRepository GetAuthorizationToken DescribeRegistry "
        "ListImages DescribeImages BatchGetImage BatchDeleteImage PutImage PutImageTagMutability "
        "TagResource UntagResource ListTagsForResource"
    ),
    _kept(
        {
            "PutLifecyclePolicy GetLifecyclePolicy DeleteLifecyclePolicy": (
                "images do not expire; `stepbridge-local reset` frees the disk"
            ),
            "PutImageScanningConfiguration": "there is no scanner; a request for a scan is refused",
            "SetRepositoryPolicy GetRepositoryPolicy DeleteRepositoryPolicy": (
                "the policies of the caller decide who can pull; each account has its own registry"
            ),
        }
    ),
    {"PutImage": "for manifests whose image the runtime has; push layers with docker push in a build"},
)
_IAM = Service(
    "IAM",
    "iam",
    _names(
        "CreateRole GetRole ListRoles UpdateRole UpdateRoleDescription DeleteRole UpdateAssumeRolePolicy "
        "TagRole UntagRole ListRoleTags CreateServiceLinkedRole "
        "PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies "
        "AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies "
        "PutRolePermissionsBoundary DeleteRolePermissionsBoundary "
        "CreatePolicy GetPolicy DeletePolicy ListPolicies ListEntitiesForPolicy CreatePolicyVersion "
        "GetPolicyVersion ListPolicyVersions DeletePolicyVersion SetDefaultPolicyVersion "
        "TagPolicy UntagPolicy ListPolicyTags "
        "CreateUser GetUser ListUsers UpdateUser DeleteUser TagUser UntagUser ListUserTags "
        "PutUserPolicy GetUserPolicy DeleteUserPolicy ListUserPolicies "
        "AttachUserPolicy DetachUserPolicy ListAttachedUserPolicies "
        "CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey GetAccessKeyLastUsed "
        "CreateGroup GetGroup ListGroups DeleteGroup AddUserToGroup RemoveUserFromGroup ListGroupsForUser "
        "PutGroupPolicy GetGroupPolicy DeleteGroupPolicy ListGroupPolicies "
        "AttachGroupPolicy DetachGroupPolicy ListAttachedGroupPolicies "
        "CreateAccountAlias ListAccountAliases DeleteAccountAlias GetAccountAuthorizationDetails "
        "SimulatePrincipalPolicy"
    ),
    notes={
        "AttachRolePolicy": "own policies, and [AWS's](services.md#aws-managed-policies)",
        "PutRolePolicy": "policies of all kinds are stored, and evaluated while permissions are on (`--enforce-iam`)",
        "SimulatePrincipalPolicy": "evaluated even if permissions are not enforced",
    },
)
_STS = Service(
    "STS",
    "sts",
    _names("GetCallerIdentity AssumeRole GetSessionToken GetFederationToken GetAccessKeyInfo"),
)
_LOGS = Service(
    "CloudWatch Logs",
    "logs",
    _names(
        "CreateLogGroup DeleteLogGroup DescribeLogGroups CreateLogStream DeleteLogStream DescribeLogStreams "
        "PutLogEvents GetLogEvents FilterLogEvents "
        "TagResource UntagResource ListTagsForResource TagLogGroup UntagLogGroup ListTagsLogGroup"
    ),
    _kept(
        {
            "PutRetentionPolicy DeleteRetentionPolicy": "events do not expire; log groups end with the local AWS",
            "PutResourcePolicy DescribeResourcePolicies DeleteResourcePolicy": (
                "services of the local AWS write their logs without checking them"
            ),
        }
    ),
)
_CLOUDFORMATION = Service(
    "CloudFormation",
    "cloudformation",
    _names(
        "CreateStack UpdateStack DeleteStack DescribeStacks ListStacks DescribeStackEvents DescribeStackResource "
        "DescribeStackResources ListStackResources GetTemplate GetTemplateSummary ValidateTemplate "
        "CreateChangeSet DescribeChangeSet ExecuteChangeSet DeleteChangeSet ListChangeSets ListExports"
    ),
    notes={"CreateStack": "supports the resource types in [Stacks](services.md#stacks); others are refused"},
)
_CODEBUILD = Service(
    "CodeBuild",
    "codebuild",
    _names(
        "CreateProject UpdateProject DeleteProject ListProjects BatchGetProjects "
        "StartBuild StopBuild BatchGetBuilds ListBuilds ListBuildsForProject"
    ),
    notes={"StartBuild": "runs the buildspec's commands; sources from S3"},
)
_STATES = Service(
    "Step Functions",
    "stepfunctions",
    _names(
        "CreateStateMachine DescribeStateMachine UpdateStateMachine DeleteStateMachine ListStateMachines "
        "CreateStateMachineAlias DescribeStateMachineAlias UpdateStateMachineAlias DeleteStateMachineAlias "
        "ListStateMachineAliases PublishStateMachineVersion ListStateMachineVersions DeleteStateMachineVersion "
        "ValidateStateMachineDefinition "
        "StartExecution DescribeExecution StopExecution RedriveExecution ListExecutions GetExecutionHistory "
        "DescribeStateMachineForExecution SendTaskSuccess SendTaskFailure SendTaskHeartbeat "
        "CreateActivity DescribeActivity DeleteActivity ListActivities GetActivityTask StartSyncExecution TestState "
        "ListMapRuns DescribeMapRun TagResource UntagResource ListTagsForResource"
    ),
    notes={
        "CreateStateMachine": (
            "JSONata and JSONPath; tasks are `sagemaker:createProcessingJob` (`.sync`), `states:startExecution`, "
            "`sns:publish`, `sqs:sendMessage`, `events:putEvents`, `aws-sdk:*` of the services on this page, "
            "and activities; others, such as Lambda functions, are refused; "
            "see [distributed Maps](services.md#distributed-maps)"
        ),
        "GetActivityTask": "answers after 20 seconds if there is no task",
        "StartSyncExecution": "clients need [an address](clients.md#addresses-that-begin-with-sync-)",
        "TestState": "all types of states, with `mock`; [the same address](clients.md#addresses-that-begin-with-sync-)",
        "ListExecutions": "of a state machine, or of a Map run (`mapRunArn`)",
        "ValidateStateMachineDefinition": "all problems, with AWS's codes and the places",
        "UpdateStateMachine": "`publish` creates a version",
        "CreateStateMachineAlias": "with two versions, each execution uses one of them according to their weights",
    },
)
_SAGEMAKER = Service(
    "SageMaker",
    "sagemaker",
    frozenset({"CreateProcessingJob", "DescribeProcessingJob", "ListProcessingJobs", "StopProcessingJob", "ListTags"}),
    notes={
        "CreateProcessingJob": "member by member in [SageMaker Processing](processing.md)",
        "ListTags": "for Processing jobs",
    },
    only="it runs Processing jobs only",
)
_EVENTS = Service(
    "EventBridge",
    "events",
    _names(
        "PutRule DescribeRule ListRules DeleteRule EnableRule DisableRule PutTargets RemoveTargets "
        "ListTargetsByRule ListRuleNamesByTarget PutEvents TestEventPattern CreateEventBus DescribeEventBus "
        "ListEventBuses DeleteEventBus TagResource UntagResource ListTagsForResource"
    ),
    notes={
        "PutTargets": "queues, log groups and buses; if a target cannot be reached, the log has a warning",
        "PutRule": "event patterns; a ScheduleExpression is stored but never fires",
    },
)
_SQS = Service(
    "SQS",
    "sqs",
    _names(
        "CreateQueue GetQueueUrl ListQueues DeleteQueue GetQueueAttributes SetQueueAttributes SendMessage "
        "SendMessageBatch ReceiveMessage DeleteMessage DeleteMessageBatch ChangeMessageVisibility "
        "ChangeMessageVisibilityBatch PurgeQueue ListDeadLetterSourceQueues TagQueue UntagQueue ListQueueTags"
    ),
)
_SNS = Service(
    "SNS",
    "sns",
    _names(
        "CreateTopic ListTopics DeleteTopic GetTopicAttributes SetTopicAttributes Subscribe Unsubscribe "
        "ListSubscriptions ListSubscriptionsByTopic GetSubscriptionAttributes SetSubscriptionAttributes Publish "
        "PublishBatch TagResource UntagResource ListTagsForResource"
    ),
    notes={"Publish": "to queues and HTTP endpoints; nothing is sent to e-mail addresses and phones"},
)

# By the name that IAM, signatures and ApiCall have for a service.
SERVICES: Final[Mapping[str, Service]] = MappingProxyType(
    {
        "sagemaker": _SAGEMAKER,
        "states": _STATES,
        "codebuild": _CODEBUILD,
        "ecr": _ECR,
        "s3": _S3,
        "logs": _LOGS,
        "cloudformation": _CLOUDFORMATION,
        "iam": _IAM,
        "sts": _STS,
        "events": _EVENTS,
        "sqs": _SQS,
        "sns": _SNS,
    }
)


def refusal(service: str, operation: str) -> ServiceError | None:
    """Why a call is refused. None if the local AWS has the operation, or if the operation is not known."""
    offer = SERVICES.get(service)
    if offer is None:
        present = ", ".join(one.title for one in SERVICES.values())
        return _not_implemented(f"The local AWS has no service '{service}'; it has {present}")
    if not operation or operation in offer.honoured or operation in offer.kept or operation in offer.unmodelled:
        return None
    remedy = "; ".join(part for part in (offer.only, "run this against AWS itself") if part)
    return _not_implemented(f"{offer.title} {operation}: the local AWS does not do this; {remedy}")


def _not_implemented(message: str) -> ServiceError:
    return ServiceError("NotImplemented", message, 501)  # 501, because clients do not retry it


# --- the page ---------------------------------------------------------------------------------------------------------
def markdown(models: Mapping[str, frozenset[str]]) -> str:
    """The tables as Markdown. ``models`` has all operations of each service, by the service's name in botocore."""
    return "\n".join(line for service in SERVICES.values() for line in _lines(service, models[service.model]))


def _lines(service: Service, operations: frozenset[str]) -> Iterator[str]:
    yield f"## {service.title}"
    yield "| operation | is | how, or why not |"
    yield "|---|---|---|"
    plain = sorted(service.honoured - service.notes.keys())
    for operation in sorted(service.honoured & service.notes.keys()):
        yield f"| {operation} | honoured | {service.notes[operation]} |"
    yield f"| {', '.join(plain)} | honoured | |"
    for reason in dict.fromkeys(service.kept.values()):
        names = ", ".join(operation for operation, why in service.kept.items() if why == reason)
        yield f"| {names} | accepted, without effect | {reason} |"
    refused = sorted(operations - service.offered)
    if refused:
        yield ""
        yield f"<details><summary>Refused by name: the other {len(refused)} of {len(operations)}</summary>"
        yield ""
        yield ", ".join(refused)
        yield "</details>"
    yield ""


def _models() -> dict[str, frozenset[str]]:
    from botocore.loaders import create_loader  # needed for the page, but not for requests

    loader = create_loader()
    return {
        service.model: frozenset(loader.load_service_model(service.model, "service-2")["operations"])
        for service in SERVICES.values()
    }


if __name__ == "__main__":
    print(markdown(_models()), end="")
