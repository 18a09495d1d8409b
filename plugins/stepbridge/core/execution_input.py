"""The JSON that starts an execution: nine documented keys, some with defaults, and optional ones."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from stepbridge.core import defaults, fields
from stepbridge.core.names import STAGES
from stepbridge.core.problems import problems_of
from stepbridge.errors import ExecutionInputError


class ExecutionInput(BaseModel):
    """The input of one execution. ``volume_size`` is in GB, ``max_runtime`` in seconds for each stage.

    ``code_uri`` and ``scikit_image_uri`` are needed by preprocessing and postprocessing, ``custom_image_uri`` by
    inference; ``environment`` goes to every stage, ``tags`` to every job. ``parse_execution_input`` raises
    ExecutionInputError with all problems; the constructor raises pydantic's own error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input_uri: fields.S3Uri
    output_uri: fields.S3Uri
    code_uri: fields.S3Uri | None = None
    custom_image_uri: fields.ImageUri | None = None
    scikit_image_uri: fields.ImageUri | None = None
    role: fields.RoleArn
    instance_type: fields.InstanceType = defaults.DEFAULT_INSTANCE_TYPE
    volume_size: fields.VolumeSizeGb = defaults.DEFAULT_VOLUME_SIZE_GB
    max_runtime: fields.MaxRuntimeSeconds = defaults.DEFAULT_MAX_RUNTIME_SECONDS
    stages: fields.Stages = STAGES
    model: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")] | None = None
    environment: fields.Environment = Field(default_factory=dict)
    tags: fields.ResourceTags = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_what_its_stages_need(self) -> Self:
        wanting = {}
        if set(self.stages) != {"inference"}:
            wanting = {"code_uri": self.code_uri, "scikit_image_uri": self.scikit_image_uri}
        if "inference" in self.stages:
            wanting["custom_image_uri"] = self.custom_image_uri
        missing = [key for key, value in wanting.items() if value is None]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing, which the stages {', '.join(self.stages)} need")
        if problem := fields.overlap(self.input_uri, self.output_uri):
            raise ValueError(f"{problem}: keep them apart")
        return self

    def to_json(self) -> str:
        """The input as JSON with sorted keys and no blanks: equal inputs give equal text."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """The SHA-256 of ``to_json``, 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode("utf-8")).hexdigest()


def parse_execution_input(values: Mapping[str, Any], source: str = "execution input") -> ExecutionInput:
    """The input that ``values`` describe; ``source`` says where they come from.

    Raises ExecutionInputError with all problems.
    """
    try:
        return ExecutionInput.model_validate(dict(values))
    except ValidationError as error:
        raise ExecutionInputError(source, problems_of(error, source, list(ExecutionInput.model_fields))) from None
