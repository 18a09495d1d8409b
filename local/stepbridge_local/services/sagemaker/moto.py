"""SageMaker: Processing jobs go to ``services.processing``; ``operations`` refuses everything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import moto.sagemaker.urls
from moto.core.responses import BaseResponse

from stepbridge_local.protocols import Scope, ServiceError
from stepbridge_local.services.moto.replacement import replace, with_collaborators
from stepbridge_local.services.sagemaker.service import ProcessingService

__all__ = ["install"]

Answer = tuple[str, dict[str, Any]]  # body and headers, as BaseResponse.call_action takes it


class _ProcessingResponse(BaseResponse):
    """Replaces moto.sagemaker.responses.SageMakerResponse. Each public method is the operation of that name."""

    processing: ProcessingService

    def __init__(self) -> None:
        super().__init__(service_name="sagemaker")

    def create_processing_job(self) -> Answer:
        return self._answer(self.processing.create)

    def describe_processing_job(self) -> Answer:
        return self._answer(lambda scope, request: self.processing.describe(scope, _job_name(request)))

    def list_processing_jobs(self) -> Answer:
        return self._answer(self.processing.list)

    def stop_processing_job(self) -> Answer:
        return self._answer(lambda scope, request: self.processing.stop(scope, _job_name(request)))

    def list_tags(self) -> Answer:
        return self._answer(self._list_tags)

    def _list_tags(self, scope: Scope, request: Mapping[str, Any]) -> Mapping[str, Any]:
        arn = request.get("ResourceArn", "")
        resource_type, _, name = arn.rpartition(":")[2].partition("/")
        if resource_type != "processing-job":
            raise ServiceError("ValidationException", f"{arn}: the local AWS has tags of processing jobs only")
        return {"Tags": self.processing.tags(scope, name)}

    def _answer(self, operation: Callable[[Scope, Mapping[str, Any]], Mapping[str, Any] | None]) -> Answer:
        scope = Scope(self.current_account, self.region)
        try:
            result = operation(scope, json.loads(self.body or "{}"))
        except ServiceError as error:
            return _error_body(error), {"status": error.http_status}
        return "" if result is None else json.dumps(result, default=_epoch_seconds), {}


def _job_name(request: Mapping[str, Any]) -> str:
    name = request.get("ProcessingJobName")
    if not isinstance(name, str):
        raise ServiceError("ValidationException", "ProcessingJobName: missing; the name of a processing job")
    return name


def _error_body(error: ServiceError) -> str:
    return json.dumps({"__type": error.code, "message": error.message})


def _epoch_seconds(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"not JSON: {value!r}")


def install(processing: ProcessingService) -> None:
    """Answer SageMaker's API with ``processing``."""
    response = with_collaborators(_ProcessingResponse, processing=processing)
    replace(moto.sagemaker.urls, "url_paths", {"{0}/$": response.dispatch})
