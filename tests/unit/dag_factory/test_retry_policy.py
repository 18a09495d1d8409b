"""Which failures are tried again, and when."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, RetryAction, RetryDecision, RetryPolicy

from stepbridge import operators, sensors
from stepbridge.core.failures import TASK_ERRORS
from stepbridge.core.run_report.failure_text import ExecutionFailedError
from stepbridge.errors import (
    AccessDeniedError,
    AwsError,
    CardError,
    ConfigurationError,
    CredentialsError,
    EndpointUnreachableError,
    ExecutionInputError,
    NotFoundError,
    QuotaExceededError,
    RequestRejectedError,
    ServiceUnavailableError,
    StepbridgeError,
    ThrottlingError,
)
from stepbridge.operators import (
    BuildImageOperator,
    CostApprovalOperator,
    StartExecutionOperator,
    UploadScriptsOperator,
)
from stepbridge.operators.retry_policy import RETRY_LATER, ModelRetryPolicy, decide
from stepbridge.sensors import ExecutionSensor, InputSensor
from stepbridge.sensors.errors import EmptyOutputError, WatchError

FAIL, RETRY, DEFAULT = RetryAction.FAIL, RetryAction.RETRY, RetryAction.DEFAULT


def coded(error: AwsError, code: str) -> AwsError:
    error.code = code
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ExecutionInputError("input", []), FAIL),
        (CardError("card", []), FAIL),
        (ConfigurationError("variable", "not set"), FAIL),
        (AccessDeniedError("call", "denied"), FAIL),
        (RequestRejectedError("call", "ValidationException"), FAIL),
        (EmptyOutputError("execution", "it wrote nothing"), FAIL),
        (coded(NotFoundError("call", "gone"), "StateMachineDoesNotExist"), FAIL),
        (coded(NotFoundError("call", "not yet"), "ExecutionDoesNotExist"), DEFAULT),
        (NotFoundError("call", "its name is taken"), DEFAULT),
        (ThrottlingError("call", "slow down"), RETRY),
        (QuotaExceededError("call", "quota"), RETRY),
        (CredentialsError("call", "expired"), RETRY),
        (ServiceUnavailableError("call", "500"), DEFAULT),
        (EndpointUnreachableError("call", "no answer"), DEFAULT),
        (WatchError("arn", "can't look"), DEFAULT),
        (RuntimeError("anything"), DEFAULT),
    ],
)
def test_each_kind_of_error(error: Exception, expected: RetryAction) -> None:
    """What would fail again fails at once; what is short is tried late."""
    decision = ModelRetryPolicy().evaluate(error, 1, 3)
    assert decision.action == expected
    assert decision.retry_delay == (RETRY_LATER if expected == RETRY else None)
    assert bool(decision.reason) is (expected != DEFAULT)


@pytest.mark.parametrize(
    ("status", "error", "text", "expected"),
    [
        ("FAILED", "AlgorithmError", "exit code: 3", FAIL),
        ("FAILED", "ClientError", "no such bucket", FAIL),
        ("FAILED", "InvalidInput", "", FAIL),
        ("FAILED", "JobStopped", "", FAIL),
        ("FAILED", "States.Runtime", "", FAIL),
        ("FAILED", "States.Runtime", "the local AWS was stopped while the execution ran", DEFAULT),
        ("FAILED", "States.Timeout", "", FAIL),
        ("TIMED_OUT", "", "", FAIL),
        ("FAILED", "CapacityError", "no ml.p4d", RETRY),
        ("FAILED", "SageMaker.ResourceLimitExceededException", "quota", RETRY),
        ("FAILED", "ThrottlingException", "", RETRY),
        ("FAILED", "SageMaker.AmazonSageMakerException", "Rate exceeded (Status Code: 400)", RETRY),
        ("FAILED", "SageMaker.AmazonSageMakerException", "not authorized (Status Code: 400)", FAIL),
        ("FAILED", "SageMaker.AmazonSageMakerException", "oops (Service: SageMaker, Status Code: 500)", DEFAULT),
        ("FAILED", "InternalServerError", "", DEFAULT),
        ("ABORTED", "stepbridge.Killed", "cleared", DEFAULT),
        ("ABORTED", "", "stopped in the console", FAIL),
    ],
)
def test_each_end_of_an_execution(status: str, error: str, text: str, expected: RetryAction) -> None:
    """By the execution's error, as the state machine words it."""
    assert decide(ExecutionFailedError("arn", status, text, error)).action == expected


def test_each_row_names_one_class() -> None:
    """``core.failures`` cannot import the classes, so their names are compared with those that there are."""
    import stepbridge

    for module in pkgutil.walk_packages(stepbridge.__path__, "stepbridge."):
        if not module.name.startswith("stepbridge.cli"):
            import_module(module.name)
    names = [each.__name__ for each in _subclasses(StepbridgeError)]
    for row in TASK_ERRORS:
        assert names.count(row.error) == 1, row


def test_a_class_of_the_same_name_elsewhere_is_not_meant() -> None:
    """Only stepbridge's own errors are in the table."""

    class ConfigurationError(Exception):
        pass

    assert decide(ConfigurationError()).action == DEFAULT


def _subclasses(of: type) -> set[type]:
    return set(of.__subclasses__()).union(*(_subclasses(each) for each in of.__subclasses__()))


class _OwnPolicy(RetryPolicy):
    def evaluate(self, *_: Any) -> RetryDecision:
        return RetryDecision.default()


def test_a_hand_written_dag_has_the_policy_unless_it_names_another() -> None:
    """In every operator and sensor that is exported; in ``default_args`` too."""
    own = _OwnPolicy()
    exported = [getattr(package, name) for package in (operators, sensors) for name in package.__all__]
    classes = {each for each in exported if isinstance(each, type) and issubclass(each, BaseOperator)}
    for arguments in ({}, {"retry_policy": own}):
        with DAG("d", schedule=None, default_args=arguments):
            tasks = [
                BuildImageOperator(task_id="build_image", model="m", context_folder="/x"),
                UploadScriptsOperator(task_id="upload_scripts", model="m", scripts_folder="/x"),
                StartExecutionOperator(task_id="start_execution", model="m", image_uri=None, code_uri=None),
                CostApprovalOperator(task_id="approve_cost", model="m", max_cost=1),
                InputSensor(task_id="wait_for_input", model="m"),
                ExecutionSensor(task_id="wait_for_execution", execution_arn="arn"),
            ]
        assert {type(task) for task in tasks} == classes
        assert [task.retry_policy for task in tasks] == [own if arguments else ModelRetryPolicy()] * len(tasks)
