"""The deployment document goes to JSON and back, and says what is wrong with it."""

import json

import pytest

from stepbridge.core.deployment import Deployment, DeploymentDocumentError, parse_deployment

VALUES = {
    "account_id": "123456789012",
    "region": "us-east-1",
    "bucket": "stepbridge-123456789012-us-east-1",
    "state_machine_arn": "arn:aws:states:us-east-1:123456789012:stateMachine:stepbridge-batch-inference",
    "processing_role_arn": "arn:aws:iam::123456789012:role/stepbridge-processing",
    "codebuild_project": "stepbridge-build-image",
    "repository_name": "stepbridge-models",
    "repository_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/stepbridge-models",
    "scikit_image_uri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3",
    "stack_name": "stepbridge",
}


@pytest.mark.parametrize("endpoint_url", [None, "http://127.0.0.1:4566"])
def test_deployment_survives_json(endpoint_url):
    """What deploy prints is what a task reads."""
    deployment = Deployment(**VALUES, endpoint_url=endpoint_url)
    assert parse_deployment(deployment.to_json()) == deployment
    assert parse_deployment(json.loads(deployment.to_json())) == deployment


def test_a_document_of_before_there_were_queues_is_valid():
    """It has no queue; a newer one keeps its own."""
    assert parse_deployment(json.dumps(VALUES)).events_queue_url is None
    queue = "https://sqs.us-east-1.amazonaws.com/123456789012/stepbridge-execution-ends"
    assert parse_deployment(Deployment(**VALUES, events_queue_url=queue).to_json()).events_queue_url == queue


def test_all_problems_at_once():
    """A document that was edited by hand is refused with everything that is wrong."""
    with pytest.raises(DeploymentDocumentError) as caught:
        parse_deployment(json.dumps({**VALUES, "account_id": "12", "bukket": "x", "region": None}))
    assert str(caught.value).splitlines() == [
        "Variable 'stepbridge': 3 problems",
        "Variable 'stepbridge': account_id is '12'; expected String should match pattern '^\\d{12}$'; "
        "run 'stepbridge deploy' again",
        "Variable 'stepbridge': region is None; expected a valid string; run 'stepbridge deploy' again",
        f"Variable 'stepbridge': unknown key 'bukket'; expected one of {', '.join(sorted(Deployment.model_fields))}; "
        "did you mean bucket?",
    ]


def test_no_json():
    """A Variable that holds something else says so."""
    with pytest.raises(DeploymentDocumentError, match=r"Invalid JSON: .*; expected a JSON document"):
        parse_deployment("not json")
