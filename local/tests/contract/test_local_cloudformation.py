"""CloudFormation of the local AWS through boto3: as on AWS where moto is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}


@pytest.fixture
def cloudformation(client: Callable[..., Any]) -> Any:
    return client("cloudformation")


def template(resources: dict[str, Any], **sections: Any) -> str:
    return json.dumps({"Resources": resources, **sections})


def log_group(group_name: Any, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": group_name, **properties}}


def stack(cloudformation: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    return found


def failures(cloudformation: Any, name: str) -> dict[str, str]:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return {
        event["LogicalResourceId"]: event["ResourceStatusReason"]
        for event in events
        if event["ResourceStatus"].endswith("_FAILED")
    }


def groups(client: Callable[..., Any], prefix: str) -> list[str]:
    found = client("logs").describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
    return [group["logGroupName"] for group in found]


def test_references_parameters_conditions_and_outputs(cloudformation: Any, name: str) -> None:
    """What is referred to is made first, wherever it stands; defaults of every type; what a false condition hides."""
    body = template(
        {
            "Policy": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {
                    "Bucket": {"Ref": "Bucket"},
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Deny",
                                "Principal": "*",
                                "Action": {"Ref": "Actions"},
                                "Resource": {"Fn::Sub": "${Bucket.Arn}/${Prefix}/*"},
                                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                            }
                        ],
                    },
                },
            },
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::Sub": "${AWS::StackName}-b"}}},
            "Never": log_group("never", RetentionInDays=1) | {"Condition": "IsOn"},
        },
        Parameters={
            "Prefix": {"Type": "String", "Default": "private"},
            "Actions": {"Type": "CommaDelimitedList", "Default": "s3:GetObject,s3:PutObject"},
            "Switch": {"Type": "String", "Default": "off", "AllowedValues": ["on", "off"]},
        },
        Conditions={"IsOn": {"Fn::Equals": [{"Ref": "Switch"}, "on"]}},
        Outputs={
            "Name": {"Value": {"Ref": "Bucket"}},
            "Where": {"Value": {"Fn::Join": ["/", [{"Ref": "AWS::AccountId"}, {"Ref": "AWS::Region"}]]}},
            "Hidden": {"Condition": "IsOn", "Value": {"Ref": "Never"}},
        },
    )
    cloudformation.create_stack(StackName=name, TemplateBody=body)
    found = stack(cloudformation, name)
    assert found["StackStatus"] == "CREATE_COMPLETE"
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    assert outputs == {"Name": f"{name}-b", "Where": "123456789012/us-east-1"}
    resources = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
    assert [resource["LogicalResourceId"] for resource in resources] == ["Bucket", "Policy"]


def test_an_unknown_resource_type_is_refused(cloudformation: Any, name: str) -> None:
    """At once, as AWS does, with what the local AWS has instead of it."""
    body = template({"Queue": {"Type": "AWS::Made::Up"}})
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::Made::Up\].*AWS::S3::Bucket"):
        cloudformation.create_stack(StackName=name, TemplateBody=body)
    with pytest.raises(ClientError, match="does not exist"):
        stack(cloudformation, name)


def test_an_unknown_property_fails_the_stack_and_leaves_nothing(
    cloudformation: Any, client: Callable[..., Any], name: str
) -> None:
    """Its resource is CREATE_FAILED with the property's name; what was made before is removed."""
    body = template({"First": log_group(f"{name}-1"), "Second": log_group(f"{name}-2", Encrypted=True)})
    cloudformation.create_stack(StackName=name, TemplateBody=body)
    assert stack(cloudformation, name)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "unsupported property Encrypted" in failures(cloudformation, name)["Second"]
    assert groups(client, name) == []


def test_what_a_service_refuses_is_the_reason(cloudformation: Any, name: str) -> None:
    """The event has the service's own words."""
    malformed = ALLOW | {"Statement": [{"Effect": "Allow", "Action": "GetObject", "Resource": "*"}]}
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": ROLE_POLICY,
            "Policies": [{"PolicyName": "p", "PolicyDocument": malformed}],
        },
    }
    cloudformation.create_stack(StackName=name, TemplateBody=template({"Role": role}))
    assert "PutRolePolicy: MalformedPolicyDocument" in failures(cloudformation, name)["Role"]
    assert stack(cloudformation, name)["StackStatus"] == "ROLLBACK_COMPLETE"


@pytest.mark.parametrize(
    ("parameter", "value", "text"),
    [
        ({"Type": "String", "AllowedValues": ["a"]}, "b", "must be one of AllowedValues"),
        ({"Type": "String", "AllowedPattern": "x+"}, "xy", "regular expression pattern"),
        ({"Type": "Number", "MaxValue": 5}, "6", "between"),
        ({"Type": "Number"}, "many", "must be a number"),
        ({"Type": "String"}, None, "Missing parameter P"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(
    cloudformation: Any, name: str, parameter: dict[str, Any], value: str | None, text: str
) -> None:
    body = template({"Group": log_group(name)}, Parameters={"P": parameter})
    given = [] if value is None else [{"ParameterKey": "P", "ParameterValue": value}]
    with pytest.raises(ClientError, match=text):
        cloudformation.create_stack(StackName=name, TemplateBody=body, Parameters=given)


def test_a_parameter_that_the_template_does_not_have_is_refused(cloudformation: Any, name: str) -> None:
    given = [{"ParameterKey": "Typo", "ParameterValue": "x"}]
    with pytest.raises(ClientError, match=r"\[Typo\] do not exist"):
        cloudformation.create_stack(StackName=name, TemplateBody=template({"G": log_group(name)}), Parameters=given)


def test_an_update_changes_adds_replaces_and_removes(
    cloudformation: Any, client: Callable[..., Any], name: str
) -> None:
    """Also where only a parameter inside of Fn::Sub has changed; what is as it was is left alone."""
    parameters = {"Suffix": {"Type": "String", "Default": "a"}}
    sub = {"Fn::Sub": f"{name}-${{Suffix}}"}
    first = {"Same": log_group(f"{name}-same"), "Named": log_group(sub), "Old": log_group(f"{name}-old")}
    cloudformation.create_stack(StackName=name, TemplateBody=template(first, Parameters=parameters))
    second = {"Same": first["Same"], "Named": first["Named"], "New": log_group(f"{name}-new", RetentionInDays=7)}
    cloudformation.update_stack(
        StackName=name,
        TemplateBody=template(second, Parameters=parameters),
        Parameters=[{"ParameterKey": "Suffix", "ParameterValue": "b"}],
    )
    assert stack(cloudformation, name)["StackStatus"] == "UPDATE_COMPLETE"
    assert groups(client, name) == [f"{name}-b", f"{name}-new", f"{name}-same"]
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    assert sum(event["LogicalResourceId"] == "Same" for event in events) == 2  # in progress and complete, once


def test_an_update_that_fails_goes_back(cloudformation: Any, client: Callable[..., Any], name: str) -> None:
    """What was changed before the failure is as it was, what was added is gone."""
    first = {"Kept": log_group(f"{name}-kept", RetentionInDays=7)}
    cloudformation.create_stack(StackName=name, TemplateBody=template(first))
    second = {
        "Kept": log_group(f"{name}-kept", RetentionInDays=30),
        "Added": log_group(f"{name}-added"),
        "Wrong": log_group(f"{name}-wrong", Colour="red"),
    }
    cloudformation.update_stack(StackName=name, TemplateBody=template(second))
    assert stack(cloudformation, name)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Colour" in failures(cloudformation, name)["Wrong"]
    assert groups(client, name) == [f"{name}-kept"]
    kept = client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]
    assert kept["retentionInDays"] == 7
    cloudformation.update_stack(StackName=name, TemplateBody=template({"Kept": second["Kept"]}))
    assert stack(cloudformation, name)["StackStatus"] == "UPDATE_COMPLETE"


def test_an_update_without_a_change_is_refused(cloudformation: Any, name: str) -> None:
    body = template({"Group": log_group(name)})
    cloudformation.create_stack(StackName=name, TemplateBody=body)
    with pytest.raises(ClientError, match="No updates are to be performed"):
        cloudformation.update_stack(StackName=name, TemplateBody=body)


def test_a_change_set_creates_and_updates(cloudformation: Any, client: Callable[..., Any], name: str) -> None:
    """Nothing is there before it is executed; then there are resources and outputs; one without changes is FAILED."""

    def change(kind: str, body: str, change_set: str) -> dict[str, Any]:
        made = cloudformation.create_change_set(
            StackName=name, ChangeSetName=change_set, ChangeSetType=kind, TemplateBody=body
        )
        described: dict[str, Any] = cloudformation.describe_change_set(ChangeSetName=made["Id"])
        return described

    outputs = {"Arn": {"Value": {"Fn::GetAtt": ["Group", "Arn"]}}}
    body = template({"Group": log_group(f"{name}-1")}, Outputs=outputs)
    first = change("CREATE", body, "first")
    assert (first["Status"], stack(cloudformation, name)["StackStatus"]) == ("CREATE_COMPLETE", "REVIEW_IN_PROGRESS")
    assert [item["ResourceChange"]["Action"] for item in first["Changes"]] == ["Add"]
    assert groups(client, name) == []
    cloudformation.execute_change_set(StackName=name, ChangeSetName="first")
    found = stack(cloudformation, name)
    assert found["StackStatus"] == "CREATE_COMPLETE"
    assert found["Outputs"][0]["OutputValue"].endswith(f":log-group:{name}-1:*")
    assert change("UPDATE", body, "nothing")["Status"] == "FAILED"
    more = {"Group": log_group(f"{name}-1"), "More": log_group(f"{name}-2")}
    change("UPDATE", template(more, Outputs=outputs), "second")
    cloudformation.execute_change_set(StackName=name, ChangeSetName="second")
    assert stack(cloudformation, name)["StackStatus"] == "UPDATE_COMPLETE"
    assert groups(client, name) == [f"{name}-1", f"{name}-2"]


def test_a_change_set_takes_over_what_is_there(cloudformation: Any, client: Callable[..., Any], name: str) -> None:
    """ImportExistingResources: a retained bucket of that name joins the stack, and a rollback does not remove it."""
    client("s3").create_bucket(Bucket=name)
    client("s3").put_object(Bucket=name, Key="x", Body=b"1")
    bucket = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": {"BucketName": name}}
    for resources, expected in (
        ({"Bucket": bucket, "Wrong": log_group(name, Colour="red")}, "ROLLBACK_COMPLETE"),
        ({"Bucket": bucket}, "CREATE_COMPLETE"),
    ):
        change_set = cloudformation.create_change_set(
            StackName=name,
            ChangeSetName="take",
            ChangeSetType="CREATE",
            TemplateBody=template(resources),
            ImportExistingResources=True,
        )
        cloudformation.execute_change_set(ChangeSetName=change_set["Id"])
        assert stack(cloudformation, name)["StackStatus"] == expected
        assert client("s3").get_object(Bucket=name, Key="x")["Body"].read() == b"1"
        cloudformation.delete_stack(StackName=name)
    assert client("s3").get_object(Bucket=name, Key="x")["Body"].read() == b"1"


def test_what_cannot_be_deleted_is_named(cloudformation: Any, client: Callable[..., Any], name: str) -> None:
    """A bucket with objects: DELETE_FAILED; once it is empty the stack can be deleted."""
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}
    cloudformation.create_stack(StackName=name, TemplateBody=template({"Bucket": bucket, "Group": log_group(name)}))
    client("s3").put_object(Bucket=name, Key="x", Body=b"1")
    cloudformation.delete_stack(StackName=name)
    found = stack(cloudformation, name)
    assert found["StackStatus"] == "DELETE_FAILED"
    assert "BucketNotEmpty" in failures(cloudformation, name)["Bucket"]
    assert groups(client, name) == []
    client("s3").delete_object(Bucket=name, Key="x")
    cloudformation.delete_stack(StackName=name)
    assert stack(cloudformation, found["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="does not exist"):
        stack(cloudformation, name)


def test_roles_and_policies_are_what_the_template_says(
    cloudformation: Any, client: Callable[..., Any], name: str
) -> None:
    """Inline, attached and separate policies, and each of them after an update."""
    iam = client("iam")

    def resources(inline: str, attached: bool) -> dict[str, Any]:
        policies = [{"PolicyName": inline, "PolicyDocument": ALLOW}]
        role = {"RoleName": name, "AssumeRolePolicyDocument": ROLE_POLICY, "Policies": policies, "Description": inline}
        own = {"PolicyName": f"own-{inline}", "Roles": [{"Ref": "Role"}], "PolicyDocument": ALLOW}
        managed = {"ManagedPolicyName": name, "PolicyDocument": ALLOW, "Roles": [{"Ref": "Role"}] if attached else []}
        return {
            "Role": {"Type": "AWS::IAM::Role", "Properties": role},
            "Own": {"Type": "AWS::IAM::Policy", "Properties": own},
            "Managed": {"Type": "AWS::IAM::ManagedPolicy", "Properties": managed},
        }

    def there() -> tuple[str, list[str], list[str]]:
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        description = iam.get_role(RoleName=name)["Role"]["Description"]
        return description, sorted(inline), [policy["PolicyName"] for policy in attached]

    cloudformation.create_stack(StackName=name, TemplateBody=template(resources("a", attached=True)))
    assert there() == ("a", ["a", "own-a"], [name])
    cloudformation.update_stack(StackName=name, TemplateBody=template(resources("b", attached=False)))
    assert there() == ("b", ["b", "own-b"], [])
    cloudformation.delete_stack(StackName=name)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=name)
    assert [policy for policy in iam.list_policies(Scope="Local")["Policies"] if policy["PolicyName"] == name] == []


def test_a_topic(cloudformation: Any, client: Callable[..., Any], name: str) -> None:
    """With its subscriptions, which an update changes; Ref is the ARN. A second stack cannot take its name."""
    sqs, sns = client("sqs"), client("sns")
    url = sqs.create_queue(QueueName=f"{name[:60]}-q")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def body(*endpoints: str) -> str:
        subscriptions = [{"Protocol": "sqs", "Endpoint": endpoint} for endpoint in endpoints]
        topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name, "Subscription": subscriptions}}
        outputs = {"Arn": {"Value": {"Ref": "T"}}, "Name": {"Value": {"Fn::GetAtt": ["T", "TopicName"]}}}
        return template({"T": topic}, Outputs=outputs)

    cloudformation.create_stack(StackName=name, TemplateBody=body(queue))
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack(cloudformation, name)["Outputs"]}
    assert (outputs["Name"], outputs["Arn"].rsplit(":", 1)[1]) == (name, name)
    sns.publish(TopicArn=outputs["Arn"], Message="hello")
    (received,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
    assert json.loads(received["Body"])["Message"] == "hello"
    cloudformation.update_stack(StackName=name, TemplateBody=body())
    assert stack(cloudformation, name)["StackStatus"] == "UPDATE_COMPLETE"
    assert sns.list_subscriptions_by_topic(TopicArn=outputs["Arn"])["Subscriptions"] == []
    cloudformation.create_stack(StackName=f"{name}-2", TemplateBody=body())
    assert "already exists" in failures(cloudformation, f"{name}-2")["T"]
    cloudformation.delete_stack(StackName=name)
    assert outputs["Arn"] not in [topic["TopicArn"] for topic in sns.list_topics()["Topics"]]


def test_a_build_project(cloudformation: Any, client: Callable[..., Any], name: str) -> None:
    """Ref is its name, Arn its ARN; what an update changes CodeBuild has; a deleted one is gone."""

    def resources(image: str) -> dict[str, Any]:
        properties = {
            "Name": name,
            "ServiceRole": "arn:aws:iam::123456789012:role/build",
            "Artifacts": {"Type": "NO_ARTIFACTS"},
            "TimeoutInMinutes": "60",
            "Source": {"Type": "S3", "Location": "b/k.zip", "BuildSpec": "version: 0.2"},
            "Environment": {
                "Type": "LINUX_CONTAINER",
                "Image": image,
                "ComputeType": "BUILD_GENERAL1_SMALL",
                "PrivilegedMode": "true",
                "EnvironmentVariables": [{"Name": "A", "Value": "1"}],
            },
        }
        return {"Project": {"Type": "AWS::CodeBuild::Project", "Properties": properties}}

    outputs = {"Name": {"Value": {"Ref": "Project"}}, "Arn": {"Value": {"Fn::GetAtt": ["Project", "Arn"]}}}
    cloudformation.create_stack(StackName=name, TemplateBody=template(resources("one"), Outputs=outputs))
    found = {output["OutputKey"]: output["OutputValue"] for output in stack(cloudformation, name)["Outputs"]}
    (project,) = client("codebuild").batch_get_projects(names=[name])["projects"]
    assert found == {"Name": name, "Arn": project["arn"]}
    assert project["source"]["buildspec"] == "version: 0.2"
    assert project["timeoutInMinutes"] == 60
    assert project["environment"]["environmentVariables"] == [{"name": "A", "value": "1"}]
    cloudformation.update_stack(StackName=name, TemplateBody=template(resources("two"), Outputs=outputs))
    assert client("codebuild").batch_get_projects(names=[name])["projects"][0]["environment"]["image"] == "two"
    cloudformation.delete_stack(StackName=name)
    assert client("codebuild").batch_get_projects(names=[name])["projects"] == []


def test_a_state_machine(cloudformation: Any, client: Callable[..., Any], name: str) -> None:
    """Its definition with the substitutions made, its logging as the API has it, and both after an update."""

    def resources(result: str) -> dict[str, Any]:
        definition = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": "${Result}", "End": True}}}
        properties = {
            "StateMachineName": name,
            "RoleArn": "arn:aws:iam::123456789012:role/states",
            "DefinitionString": json.dumps(definition),
            "DefinitionSubstitutions": {"Result": result},
            "LoggingConfiguration": {
                "Level": "ERROR",
                "IncludeExecutionData": "true",
                "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": ["Group", "Arn"]}}}],
            },
        }
        machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
        return {"Machine": machine, "Group": log_group(f"/aws/vendedlogs/states/{name}")}

    outputs = {"Name": {"Value": {"Fn::GetAtt": ["Machine", "Name"]}}, "Arn": {"Value": {"Ref": "Machine"}}}
    for result in ("one", "two"):
        call = cloudformation.create_stack if result == "one" else cloudformation.update_stack
        call(StackName=name, TemplateBody=template(resources(result), Outputs=outputs))
        found = {output["OutputKey"]: output["OutputValue"] for output in stack(cloudformation, name)["Outputs"]}
        assert found["Name"] == name
        machine = client("stepfunctions").describe_state_machine(stateMachineArn=found["Arn"])
        assert json.loads(machine["definition"])["States"]["A"]["Result"] == result
        assert machine["loggingConfiguration"]["level"] == "ERROR"
    cloudformation.delete_stack(StackName=name)
    machines = client("stepfunctions").list_state_machines()["stateMachines"]
    assert name not in [machine["name"] for machine in machines]


def test_validate_template_checks_the_syntax_and_the_types(cloudformation: Any) -> None:
    """A template that can become a stack passes; anything else is refused with the reason."""
    cloudformation.validate_template(TemplateBody=template({"Group": log_group("/validated")}))
    for body, reason in (
        ("Resources: [", "Template format error"),
        (template({}), "At least one Resources member"),
        (template({"Queue": {"Type": "AWS::No::Such"}}), "AWS::No::Such"),
    ):
        with pytest.raises(ClientError, match=reason) as refused:
            cloudformation.validate_template(TemplateBody=body)
        assert refused.value.response["Error"]["Code"] == "ValidationError"
