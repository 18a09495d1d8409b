"""The permissions that a model needs, checked before its first run costs money. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from stepbridge.core.deployment import Deployment
from stepbridge.core.fields import is_template
from stepbridge.core.model_card import ModelCard

_JOB: Final = "sb-preflight"
_RULE: Final = "StepFunctionsGetEventsForSageMakerProcessingJobsRule"
_PULL: Final = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


@dataclass(frozen=True)
class Check:
    """The result of one check: ``text`` says what was found and, where something is missing, what to do."""

    what: str
    status: Literal["ok", "missing", "unknown"]
    text: str


@dataclass(frozen=True)
class Permission:
    """One action on one resource that the role needs; ``context`` are the values of the condition keys in the call."""

    role_arn: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def readable_part(uri: str) -> str | None:
    """The URI up to its first Jinja expression; None when not even the bucket is known."""
    fixed = uri[: min(at for at in (uri.find("{{"), uri.find("{%")) if at >= 0)] if is_template(uri) else uri
    bucket, slash, _ = fixed.removeprefix("s3://").partition("/")
    return fixed if bucket and (slash or fixed == uri) else None


def permissions_of(card: ModelCard, deployed: Deployment, state_machine_role: str) -> tuple[Permission, ...]:
    """The permissions that the deployment's roles need for the model's stages."""
    return (*_of_state_machine(deployed, state_machine_role), *_of_jobs(card, deployed))


def _of_state_machine(deployed: Deployment, role: str) -> Iterator[Permission]:
    partition = role.split(":")[1]
    place = f"{deployed.region}:{deployed.account_id}"
    job = f"arn:{partition}:sagemaker:{place}:processing-job/{_JOB}"
    for action in ("AddTags", "CreateProcessingJob", "DescribeProcessingJob", "StopProcessingJob"):
        yield Permission(role, f"sagemaker:{action}", job)
    passed = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    yield Permission(role, "iam:PassRole", deployed.processing_role_arn, passed)
    for action in ("DescribeRule", "PutRule", "PutTargets"):
        yield Permission(role, f"events:{action}", f"arn:{partition}:events:{place}:rule/{_RULE}")


def _of_jobs(card: ModelCard, deployed: Deployment) -> Iterator[Permission]:
    role = deployed.processing_role_arn
    partition = role.split(":")[1]
    for uri, actions in ((card.input_uri, ("s3:GetObject",)), (card.output_uri, ("s3:GetObject", "s3:PutObject"))):
        known = readable_part(uri)
        if known is None:
            continue
        bucket, _, key = known.removeprefix("s3://").partition("/")
        yield Permission(role, "s3:ListBucket", f"arn:{partition}:s3:::{bucket}")
        for action in actions:
            yield Permission(role, action, f"arn:{partition}:s3:::{bucket}/{key}preflight")
    group = f"arn:{partition}:logs:{deployed.region}:{deployed.account_id}:log-group:/aws/sagemaker/ProcessingJobs"
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        yield Permission(role, action, f"{group}:log-stream:{_JOB}/algo-1")
    images = {card.image or deployed.repository_uri} if "inference" in card.stages else set()
    images |= {deployed.scikit_image_uri} if card.uploads_scripts else set()
    for image in sorted(images):
        repository = _repository_arn(image, partition)
        for action in _PULL if repository else ():
            yield Permission(role, action, str(repository))


def _repository_arn(image: str, partition: str) -> str | None:
    """The ECR repository that the image is in; None for another registry's."""
    host, _, rest = image.partition("/")
    parts = host.split(".")
    if len(parts) < 6 or parts[1:3] != ["dkr", "ecr"]:
        return None
    name = rest.partition("@")[0].partition(":")[0]
    return f"arn:{partition}:ecr:{parts[3]}:{parts[0]}:repository/{name}"
