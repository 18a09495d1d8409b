"""The errors of SageMaker Processing: those that answer an API call, and those that end a job.

A ``ServiceError`` answers an API call; the functions here give it AWS's code and wording. A ``JobError`` ends a job:
its ``failure_reason`` is what DescribeProcessingJob shows.
"""

from __future__ import annotations

from stepbridge_local.errors import LocalAwsError
from stepbridge_local.protocols import ServiceError

__all__ = [
    "FAILURE_REASON_MAX_LENGTH",
    "BrokenRecordError",
    "ContainerLostError",
    "ContainerStartError",
    "DataDownloadError",
    "DataUploadError",
    "ExitMessageError",
    "IllegalTransitionError",
    "ImageError",
    "JobError",
    "job_name_in_use",
    "job_not_found",
    "job_not_stoppable",
    "role_not_assumable",
    "serialization_error",
    "service_closed",
    "validation_error",
]

FAILURE_REASON_MAX_LENGTH = 1024  # characters; shape FailureReason of the service model


def validation_error(message: str) -> ServiceError:
    """The ValidationException with this text."""
    return ServiceError("ValidationException", message)


def serialization_error(message: str) -> ServiceError:
    """The error for a value of the wrong JSON type, which AWS refuses before it validates anything."""
    return ServiceError("SerializationException", message)


def job_name_in_use(arn: str) -> ServiceError:
    """The error for a name that has been used before in this account and region."""
    message = "Job name must be unique within an AWS account and region, and a job with this name already exists"
    return ServiceError("ResourceInUse", f"{message} ({arn})")


def job_not_found(name: str) -> ServiceError:
    """The error for a job that does not exist.

    The service model lists ResourceNotFound for it; what AWS sends is a ValidationException with this text
    (aws/sagemaker-python-sdk#5549, and the Amazon provider's ``_check_if_job_exists``, which relies on it).
    """
    return validation_error(f"Could not find requested job with name: {name}")


def job_not_stoppable(status: str) -> ServiceError:
    """The error for StopProcessingJob on a job that has ended."""
    return validation_error(f"The request was rejected because the processing job is in status {status}.")


def role_not_assumable(role_arn: str) -> ServiceError:
    """The error for a role that does not exist or does not trust SageMaker."""
    return validation_error(
        f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
        "'sagemaker.amazonaws.com' to assume the role."
    )


def service_closed() -> ServiceError:
    """The error while the local AWS shuts down."""
    return ServiceError("ServiceUnavailable", "The local AWS is shutting down and takes no more jobs.", 503)


class ContainerLostError(LocalAwsError):
    """The runtime cannot say how a container ended. Neither the job nor its image is the cause."""


class IllegalTransitionError(LocalAwsError):
    """An event that a job's status does not allow: a bug of the local AWS."""


class BrokenRecordError(LocalAwsError):
    """A job's record on disk cannot be read back."""


class JobError(LocalAwsError):
    """The reason why a job failed. ``category`` is one of SageMaker's four prefixes of a FailureReason."""

    category = "ClientError"
    headline = ""

    @property
    def failure_reason(self) -> str:
        """The FailureReason: category, headline and text, at most 1024 characters."""
        text = "; ".join(
            part for part in (self.found, self.expected and f"expected {self.expected}", self.remedy) if part
        )
        return f"{self.category}: {self.headline}{text}"[:FAILURE_REASON_MAX_LENGTH]


class DataDownloadError(JobError):
    """An input could not be brought into the container."""

    headline = "Data download failed: "


class DataUploadError(JobError):
    """An output could not be stored in S3."""

    headline = "Data upload failed: "


class ImageError(JobError):
    """The image of the job is not in the registry or could not be built."""

    headline = "Cannot pull the image: "


class ContainerStartError(JobError):
    """The runtime could not start a container. A ClientError, because another attempt would end the same way."""

    headline = "The container could not be started: "


class ExitMessageError(JobError):
    """The exit message is not UTF-8, which fails a job (byoc-metadata page of the SageMaker developer guide)."""
