"""The deployment as one JSON document: the Airflow Variable ``stepbridge``, which ``stepbridge deploy`` prints."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from stepbridge.core.problems import problems_of
from stepbridge.errors import DocumentError

DEPLOYMENT_TEMPLATE: Final = "{{ var.value.get('stepbridge', '') }}"
"""The Airflow Variable ``stepbridge``, read when a task runs and never when a file is parsed; empty when not set."""

NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class DeploymentDocumentError(DocumentError):
    """The deployment document cannot be used."""


class Deployment(BaseModel):
    """The deployed stack's names. ``endpoint_url`` is None on AWS and the local AWS's address otherwise.

    ``events_queue_url`` is the SQS queue that ends of executions are sent to; None when the stack has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    account_id: Annotated[str, StringConstraints(pattern=r"^\d{12}$")]
    region: NonEmpty
    bucket: NonEmpty
    state_machine_arn: Annotated[str, StringConstraints(pattern=r"^arn:[a-z-]+:states:.+:stateMachine:.+$")]
    processing_role_arn: Annotated[str, StringConstraints(pattern=r"^arn:[a-z-]+:iam::\d{12}:role/.+$")]
    codebuild_project: NonEmpty
    repository_name: NonEmpty
    repository_uri: NonEmpty
    scikit_image_uri: NonEmpty
    stack_name: NonEmpty
    endpoint_url: str | None = Field(default=None)
    events_queue_url: str | None = Field(default=None)

    def to_json(self) -> str:
        """The document, as the Airflow Variable holds it."""
        return self.model_dump_json(indent=2)


def parse_deployment(text: str | bytes | dict[str, Any], source: str = "Variable 'stepbridge'") -> Deployment:
    """The deployment that ``text`` (JSON, or the object it stands for) describes.

    Raises DeploymentDocumentError with all problems.
    """
    try:
        return Deployment.model_validate(text) if isinstance(text, dict) else Deployment.model_validate_json(text)
    except ValidationError as error:
        problems = problems_of(error, source, list(Deployment.model_fields), "run 'stepbridge deploy' again")
        raise DeploymentDocumentError(source, problems) from None
