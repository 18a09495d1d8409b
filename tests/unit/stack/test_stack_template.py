"""infra/stack.yaml: that CloudFormation takes it everywhere, and what it protects."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cfnlint.api
import pytest
from cfnlint.config import ManualArgs

from stepbridge.aws.cloudformation import Stack
from stepbridge.deployment import deployment_of
from stepbridge.deployment._template import MAX_INLINE_BYTES, PackagedTemplate, package_template, retained_names
from stepbridge.errors import DefinitionError, DeploymentError, TemplateError

REGIONS = ["us-east-1", "cn-north-1", "us-gov-west-1"]
# cfn-lint's schema of the States Language allows a number only; with JSONata, TimeoutSeconds may be an expression:
# https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html. It allows resources of the partition aws only.
SCHEMA_MISTAKE = re.compile(
    r"'\{% .* %\}' is not of type 'number' at 'States/.*/TimeoutSeconds'"
    r"|'arn:\$\{Partition\}:states:::[\w:.]+' does not match '\^arn:aws:.*' at 'States/.*/Resource'"
)


def lint(text: str) -> list[str]:
    matches = cfnlint.api.lint(text, config=ManualArgs(regions=REGIONS))
    return [f"{match.rule.id} line {match.linenumber}: {match.message}" for match in matches]


def test_the_template_is_lint_clean_in_every_partition(template_path: Path) -> None:
    """cfn-lint has nothing to say about the file people review."""
    assert lint(template_path.read_text()) == []


def test_the_packaged_template_is_lint_clean_in_every_partition(packaged: PackagedTemplate) -> None:
    """What is sent to CloudFormation is clean too, the state machine's definition included."""
    assert [line for line in lint(packaged.body) if not SCHEMA_MISTAKE.search(line)] == []


def test_the_packaged_template_can_be_sent_with_the_call(packaged: PackagedTemplate) -> None:
    """The first deployment needs no bucket to upload the template to."""
    assert packaged.size_bytes <= MAX_INLINE_BYTES


def test_no_partition_and_no_url_suffix_is_written_out(template_path: Path) -> None:
    """arn:aws: and amazonaws.com hold in one partition only; service principals are the same in all."""
    text = template_path.read_text()
    assert re.findall(r"arn:aws[a-z-]*:(?!.*AllowedPattern)", re.sub(r"AllowedPattern:.*", "", text)) == []
    assert set(re.findall(r"[\w.-]*amazonaws\.com", text)) == {
        "codebuild.amazonaws.com",
        "events.amazonaws.com",
        "sagemaker.amazonaws.com",
        "states.amazonaws.com",
    }


def test_the_definition_is_the_reviewed_file(packaged: PackagedTemplate, template_path: Path) -> None:
    """asl/batch_inference.asl.json arrives unchanged, and no local path is left."""
    properties = packaged.document["Resources"]["StateMachine"]["Properties"]
    source = template_path.parents[1] / "asl" / "batch_inference.asl.json"
    assert json.loads(properties["DefinitionString"]) == json.loads(source.read_text())
    assert "DefinitionS3Location" not in properties


def test_the_definition_names_no_partition_either(packaged: PackagedTemplate) -> None:
    """China and GovCloud refuse the integrations of another partition; the stack makes every substitution."""
    properties = packaged.document["Resources"]["StateMachine"]["Properties"]
    definition = properties["DefinitionString"]
    assert set(re.findall(r'arn:[^:"]*', definition)) == {"arn:${Partition}"}
    assert set(re.findall(r"\$\{(\w+)\}", definition)) == set(properties["DefinitionSubstitutions"])
    assert properties["DefinitionSubstitutions"]["Partition"] == {"Ref": "AWS::Partition"}


def test_the_bucket_is_private_encrypted_versioned_and_outlives_the_stack(template: dict[str, Any]) -> None:
    """Public access is blocked in all four ways; objects are encrypted; deleting the stack deletes no data."""
    bucket = template["Resources"]["Bucket"]
    properties = bucket["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    rules = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rules[0]["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"


def test_no_lifecycle_rule_deletes_data(template: dict[str, Any]) -> None:
    """Only build contexts and superseded versions expire: never scripts, inputs or predictions."""
    rules = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = [rule["Prefix"] for rule in rules if "ExpirationInDays" in rule]
    assert expiring == ["stepbridge/builds/"]


def test_image_tags_cannot_be_moved_and_images_are_scanned(template: dict[str, Any]) -> None:
    """The repository keeps a tag's image for good, looks for vulnerabilities, and outlives the stack."""
    repository = template["Resources"]["ModelRepository"]
    assert repository["Properties"]["ImageTagMutability"] == "IMMUTABLE"
    assert repository["Properties"]["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["DeletionPolicy"] == "Retain"
    rules = json.loads(repository["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert [rule["rulePriority"] for rule in rules] == [1, 2]


def test_names_that_outlive_the_stack_are_known_before_it_exists(template: dict[str, Any]) -> None:
    """So that a later stack can adopt them."""
    pseudo = {"AWS::StackName": "s", "AWS::AccountId": "111122223333", "AWS::Region": "eu-west-1"}
    assert retained_names(template, pseudo) == {
        "AWS::S3::Bucket": "s-111122223333-eu-west-1",
        "AWS::ECR::Repository": "s-models",
    }


def test_every_log_group_has_a_retention(template: dict[str, Any]) -> None:
    """Logs do not pile up for ever."""
    groups = [r for r in template["Resources"].values() if r["Type"] == "AWS::Logs::LogGroup"]
    assert len(groups) == 2
    assert all(group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups)


def test_the_outputs_make_a_deployment(template: dict[str, Any]) -> None:
    """Every field of Deployment has its output; a missing one is named."""
    outputs = {name: f"value of {name}" for name in template["Outputs"]}
    outputs["StateMachineArn"] = "arn:aws:states:eu-west-1:111122223333:stateMachine:s-batch-inference"
    outputs["ProcessingRoleArn"] = "arn:aws:iam::111122223333:role/s-eu-west-1-processing"
    stack_id = "arn:aws:cloudformation:eu-west-1:111122223333:stack/s/1"
    deployment = deployment_of(Stack(stack_id, "s", "CREATE_COMPLETE", "", {}, outputs), "eu-west-1", None)
    assert deployment.account_id == "111122223333"
    assert deployment.bucket == "value of BucketName"
    del outputs["BucketName"], outputs["RepositoryUri"]
    with pytest.raises(DeploymentError, match="no output BucketName, RepositoryUri"):
        deployment_of(Stack(stack_id, "s", "CREATE_COMPLETE", "", {}, outputs), "eu-west-1", None)


@pytest.mark.parametrize(
    ("definition", "problem"),
    [("{", r"m\.json:1:2: "), ('{"StartAt": "B", "States": {"A": {"Type": "Succeed"}}}', r"\$\.StartAt: no state 'B'")],
)
def test_a_definition_with_mistakes_is_refused_before_it_is_sent(definition: str, problem: str) -> None:
    """CloudFormation would find them too, and roll back for minutes."""
    text = "Resources: {M: {Type: AWS::StepFunctions::StateMachine, Properties: {DefinitionS3Location: m.json}}}"
    with pytest.raises(DefinitionError, match=problem):
        package_template(text, "stack.yaml", lambda _: definition)


@pytest.mark.parametrize("text", ["[", "Parameters: {}", "just text"])
def test_what_is_not_a_template_is_refused(text: str) -> None:
    """Bad YAML and other documents end in a TemplateError that names the file."""
    with pytest.raises(TemplateError, match=r"stack\.yaml: "):
        package_template(text, "stack.yaml", lambda _: "{}")
