"""Least privilege, statement by statement."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from stepbridge.core.statuses import EXECUTION_STATUSES
from stepbridge.deployment._template import PackagedTemplate

# Actions that IAM can allow on "*" only ("Actions, resources, and condition keys" in the Service Authorization
# Reference lists no resource type for them), and what each is for.
ONLY_ON_STAR = {
    "ecr:GetAuthorizationToken": "logging in to ECR, which is not about one repository",
    "cloudwatch:PutMetricData": "instance metrics of jobs; limited to one namespace by a condition",
    "logs:CreateLogDelivery": "the state machine's log: log deliveries have no ARN",
    "logs:DeleteLogDelivery": "the same",
    "logs:DescribeLogGroups": "the same; Step Functions asks for it on all log groups",
    "logs:DescribeResourcePolicies": "the same",
    "logs:GetLogDelivery": "the same",
    "logs:ListLogDeliveries": "the same",
    "logs:PutResourcePolicy": "the same",
    "logs:UpdateLogDelivery": "the same",
    "xray:GetSamplingRules": "tracing, when asked for: traces have no ARN",
    "xray:GetSamplingTargets": "the same",
    "xray:PutTelemetryRecords": "the same",
    "xray:PutTraceSegments": "the same",
}
TRUST = {
    "BuildRole": ("codebuild.amazonaws.com", "ArnEquals"),
    "ProcessingRole": ("sagemaker.amazonaws.com", "ArnLike"),
    "StateMachineRole": ("states.amazonaws.com", "ArnLike"),
}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of an identity's policy in the template, and where it stands."""
    for logical_id, resource in template["Resources"].items():
        properties = resource["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for number, statement in enumerate(document["Statement"]):
                yield f"{logical_id}.{statement.get('Sid', number)}", statement


def actions(template: dict[str, Any], logical_id: str, effect: str = "Allow") -> set[str]:
    return {
        action
        for where, statement in statements(template)
        if where.startswith(f"{logical_id}.") and statement["Effect"] == effect
        for action in as_list(statement["Action"])
    }


def test_star_resources_only_where_iam_knows_nothing_narrower(template: dict[str, Any]) -> None:
    """No statement has Resource "*" but for the actions listed above."""
    too_wide = {
        where: sorted(set(as_list(statement["Action"])) - ONLY_ON_STAR.keys())
        for where, statement in statements(template)
        if "*" in as_list(statement["Resource"])
    }
    assert {where: found for where, found in too_wide.items() if found} == {}
    assert too_wide, "the walk found no statement at all"


def test_no_statement_allows_a_wildcard_of_actions(template: dict[str, Any]) -> None:
    """Every allowed action is written out."""
    wild = [(where, a) for where, s in statements(template) for a in as_list(s["Action"]) if "*" in a]
    assert wild == []


def test_every_resource_names_account_and_region_or_a_bucket(template: dict[str, Any]) -> None:
    """ARNs hold no "*" in place of the partition, the service, the region or the account."""
    arns = [
        r["Fn::Sub"]
        for _, s in statements(template)
        for r in as_list(s["Resource"])
        if isinstance(r, dict) and isinstance(r.get("Fn::Sub"), str)
    ]
    assert arns
    for arn in arns:
        head = re.sub(r"\$\{AWS::(\w+)\}", r"<\1>", arn).split(":")[:5]
        assert "*" not in "".join(head), arn


@pytest.mark.parametrize(("role", "service", "operator"), [(r, *expected) for r, expected in TRUST.items()])
def test_services_assume_roles_for_this_account_only(
    template: dict[str, Any], role: str, service: str, operator: str
) -> None:
    """No confused deputy: aws:SourceAccount and aws:SourceArn, as each service documents them."""
    (statement,) = template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": service}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    source = statement["Condition"][operator]["aws:SourceArn"]["Fn::Sub"]
    assert source.startswith(f"arn:${{AWS::Partition}}:{service.split('.')[0]}:${{AWS::Region}}:${{AWS::AccountId}}:")


def test_the_bucket_answers_over_tls_only(template: dict[str, Any]) -> None:
    """Everything without TLS is denied to everybody, on the bucket and its objects."""
    (statement,) = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert [r["Fn::Sub"].rpartition(":")[2] for r in statement["Resource"]] == ["${Bucket}", "${Bucket}/*"]


def test_only_the_job_role_is_passed_and_only_to_sagemaker(template: dict[str, Any]) -> None:
    """One statement in the whole stack passes a role."""
    passing = [s for _, s in statements(template) if "iam:PassRole" in as_list(s["Action"])]
    (statement,) = passing
    assert statement["Resource"] == {"Fn::GetAtt": ["ProcessingRole", "Arn"]}
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_the_state_machine_may_do_what_sync_jobs_need(template: dict[str, Any]) -> None:
    """The five calls on jobs, the events rule that tells it of their end, and nothing in S3 or ECR."""
    allowed = actions(template, "StateMachineRole")
    assert {a for a in allowed if a.startswith("sagemaker:")} == {
        "sagemaker:AddTags",
        "sagemaker:CreateProcessingJob",
        "sagemaker:DescribeProcessingJob",
        "sagemaker:ListTags",
        "sagemaker:StopProcessingJob",
    }
    assert {"events:DescribeRule", "events:PutRule", "events:PutTargets"} <= allowed
    assert not [a for a in allowed if a.startswith(("s3:", "ecr:"))]


def test_policies_about_jobs_fit_the_names_that_the_definition_gives_them(packaged: PackagedTemplate) -> None:
    """The policies name jobs by their prefix, so the definition must use it in every state that makes one."""
    policies = json.dumps(dict(statements(dict(packaged.document))))
    prefixes = set(re.findall(r"processing-job/([\w-]*)\*", policies))
    assert prefixes == {"sb-"}
    definition = json.loads(packaged.document["Resources"]["StateMachine"]["Properties"]["DefinitionString"])
    tasks = [s for s in definition["States"].values() if s["Type"] == "Task"]
    assert len(tasks) == 3
    assert all("$substring($job_head, 0," in task["Arguments"]["ProcessingJobName"] for task in tasks)
    heads = re.findall(r'"job_head": "\{% \'([\w-]+)\' &', json.dumps(definition))
    assert heads == ["sb-"]


def test_model_code_cannot_replace_scripts_or_build_contexts(template: dict[str, Any]) -> None:
    """A job writes data anywhere in the bucket but below stepbridge/, which other models run from."""
    denied = [s for where, s in statements(template) if where.startswith("ProcessingRole.") and s["Effect"] == "Deny"]
    (statement,) = denied
    assert "s3:PutObject" in statement["Action"]
    assert statement["Resource"]["Fn::Sub"].endswith(":${Bucket}/stepbridge/*")


def test_builds_write_images_and_logs_and_nothing_else(template: dict[str, Any]) -> None:
    """The build role reads build contexts; it cannot write to the bucket or delete images."""
    allowed = actions(template, "BuildRole")
    assert {a for a in allowed if a.startswith("s3:")} == {
        "s3:GetBucketAcl",
        "s3:GetBucketLocation",
        "s3:GetObject",
        "s3:GetObjectVersion",
    }
    assert not [a for a in allowed if "Delete" in a or a.startswith("iam:")]


def test_airflow_may_do_what_the_operators_call(template: dict[str, Any]) -> None:
    """Start, adopt, redrive and stop executions; build; upload; read logs. It can neither pass roles nor make jobs."""
    allowed = actions(template, "AirflowPolicy")
    assert {
        "codebuild:BatchGetBuilds",
        "codebuild:ListBuildsForProject",
        "codebuild:StartBuild",
        "codebuild:StopBuild",
        "ecr:DescribeImages",
        "logs:GetLogEvents",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        "sagemaker:DescribeProcessingJob",
        "states:DescribeExecution",
        "states:GetExecutionHistory",
        "states:ListExecutions",
        "states:RedriveExecution",
        "states:StartExecution",
        "states:StopExecution",
    } <= allowed
    assert not {"iam:PassRole", "sagemaker:CreateProcessingJob", "ecr:PutImage", "s3:DeleteObject"} & allowed


def test_airflow_reaches_the_data_that_jobs_reach(template: dict[str, Any]) -> None:
    """A report that cannot be written, or an input that cannot be listed, is no surprise of a bucket of one's own."""
    own = {s.get("Sid", ""): s for _, s in statements(template) if _.startswith("AirflowPolicy.")}
    for sid, condition in {
        "ListBucketsToRead": "HasReadBuckets",
        "ReadFurtherData": "HasReadBuckets",
        "ListBucketsToWrite": "HasWriteBuckets",
        "ReadWrittenData": "HasWriteBuckets",
        "WriteReports": "HasWriteBuckets",
        "UseKmsKeys": "HasKmsKeys",
    }.items():
        assert own[sid]["Resource"]["Fn::If"][0] == condition


def test_nobody_who_starts_builds_overrides_the_buildspec(template: dict[str, Any]) -> None:
    """Only Null tells whether one is given: docs.aws.amazon.com/codebuild/latest/userguide/action-context-keys.html."""
    (deny,) = [s for name, s in statements(template) if name.endswith("RunTheProjectsBuildspecOnly")]
    assert deny["Effect"] == "Deny"
    assert "codebuild:StartBuild" in as_list(deny["Action"])
    assert deny["Condition"] == {"Null": {"codebuild:source.buildspec": "false"}}


def test_the_bucket_s_policy_stays_with_the_bucket(template: dict[str, Any]) -> None:
    """After the stack is deleted, the bucket still answers over TLS only."""
    policies = {name: template["Resources"][name] for name in ("Bucket", "BucketPolicy")}
    for kept in ("DeletionPolicy", "UpdateReplacePolicy"):
        assert policies["BucketPolicy"][kept] == policies["Bucket"][kept] == "Retain"


def test_airflow_s_policy_is_not_too_long(template: dict[str, Any]) -> None:
    """A managed policy has at most 6,144 characters without white space; further buckets need some of them."""
    document = template["Resources"]["AirflowPolicy"]["Properties"]["PolicyDocument"]
    text = json.dumps(document, separators=(",", ":"))
    longest = re.sub(r'\{"Fn::Sub":("[^"]*")\}', r"\1", text)
    assert len(longest) < 5600


def test_airflow_has_a_role_only_when_a_principal_is_named(template: dict[str, Any]) -> None:
    """The role is trusted by that principal and has the one managed policy."""
    role = template["Resources"]["AirflowRole"]
    assert role["Condition"] == "HasAirflowPrincipal"
    (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"AWS": {"Ref": "AirflowPrincipalArn"}}
    assert role["Properties"]["ManagedPolicyArns"] == [{"Ref": "AirflowPolicy"}]


def test_only_the_stacks_rule_may_send_to_its_queue(template: dict[str, Any]) -> None:
    """EventBridge, and of it this one rule."""
    (statement,) = template["Resources"]["ExecutionEndsQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["ExecutionEndsRule", "Arn"]}}}


def test_the_rule_selects_every_end_of_the_stacks_executions(template: dict[str, Any]) -> None:
    """Every terminal status, of the one state machine."""
    detail = template["Resources"]["ExecutionEndsRule"]["Properties"]["EventPattern"]["detail"]
    assert detail["stateMachineArn"] == [{"Ref": "StateMachine"}]
    assert set(detail["status"]) == {status.name for status in EXECUTION_STATUSES.values() if status.terminal}


def test_the_queue_is_encrypted_and_forgets(template: dict[str, Any]) -> None:
    """Messages hold inputs and outputs of executions; who waits has received them within a minute."""
    properties = template["Resources"]["ExecutionEndsQueue"]["Properties"]
    assert (properties["SqsManagedSseEnabled"], properties["MessageRetentionPeriod"]) == (True, 60)
