"""The outcome and the exit message of a job, from how its containers ended. Pure."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from enum import Enum

from stepbridge_local.protocols import ContainerExit
from stepbridge_local.services.sagemaker.errors import ContainerStartError, ExitMessageError, JobError
from stepbridge_local.services.sagemaker.job import INTERRUPTED, Outcome, Status

__all__ = ["EXIT_MESSAGE_MAX_BYTES", "StopCause", "exit_message", "job_outcome"]

EXIT_MESSAGE_MAX_BYTES = 1024


class StopCause(Enum):
    """Why containers were stopped early."""

    CALLER = "StopProcessingJob"
    MAX_RUNTIME = "MaxRuntimeInSeconds"
    INPUT = "an input broke off"
    SIBLING = "another instance failed"
    SHUTDOWN = "the local AWS shuts down"


def job_outcome(
    exits: Sequence[ContainerExit],
    cause: StopCause | None,
    max_runtime_seconds: int,
    broken_input: JobError | None = None,
) -> Outcome:
    """The outcome of a job whose containers ended like this, in this order.

    ``broken_input`` is why an input could no longer be read while they ran. It fails a job that was not stopped before.

    A job past its maximum runtime is stopped, not failed: "After the condition is met, the processing job is stopped"
    (API page ProcessingStoppingCondition), and the SageMaker SDK explains Stopped with "the job timed out". AWS
    documents no text for it; here FailureReason says so, since nothing else would.
    """
    match cause:
        case StopCause.SHUTDOWN:
            return INTERRUPTED
        case StopCause.CALLER:
            return Outcome(Status.STOPPED)
        case StopCause.MAX_RUNTIME:
            reason = f"MaxRuntimeExceeded: the job was stopped after its MaxRuntimeInSeconds of {max_runtime_seconds}."
            return Outcome(Status.STOPPED, f"ClientError: {reason} Raise StoppingCondition.MaxRuntimeInSeconds.")
    if broken_input is not None:
        return Outcome(Status.FAILED, broken_input.failure_reason)
    for ended in exits:
        if ended.error is not None and ended.exit_code is not None:
            return Outcome(Status.FAILED, f"AlgorithmError: {ended.error}, exit code: {ended.exit_code}")
        if ended.error is not None:
            return Outcome(Status.FAILED, ContainerStartError("container", ended.error).failure_reason)
        if ended.exit_code != 0:
            return Outcome(Status.FAILED, f"AlgorithmError: , exit code: {ended.exit_code}")
    return Outcome(Status.COMPLETED)


def exit_message(messages: Sequence[bytes]) -> str | None:
    """The ExitMessage of a job whose instances wrote these to /opt/ml/output/message; None if they wrote nothing.

    Concatenated, then cut to 1 KB, at a whole character (byoc-metadata page). Raises ExitMessageError when that is not
    UTF-8.
    """
    whole = b"".join(messages)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        # ``final`` is False if the message was cut: a character that was cut in two is left out and not an error.
        return decoder.decode(whole[:EXIT_MESSAGE_MAX_BYTES], final=len(whole) <= EXIT_MESSAGE_MAX_BYTES) or None
    except UnicodeDecodeError as error:
        found = f"The exit message in /opt/ml/output/message is not UTF-8 encoded (byte {error.start})"
        raise ExitMessageError("/opt/ml/output/message", found) from error
