"""Every status that AWS documents has a row; any other is an error."""

import pickle

import pytest
from botocore.session import Session

from stepbridge.core.statuses import (
    BUILD_STATUSES,
    EXECUTION_STATUSES,
    JOB_STATUSES,
    build_status,
    execution_status,
    job_status,
)
from stepbridge.errors import UnknownStatusError


@pytest.mark.parametrize(
    ("service", "shape", "table"),
    [
        ("stepfunctions", "ExecutionStatus", EXECUTION_STATUSES),
        ("sagemaker", "ProcessingJobStatus", JOB_STATUSES),
        ("codebuild", "StatusType", BUILD_STATUSES),
    ],
)
def test_tables_have_the_statuses_of_the_service_model(service, shape, table):
    """The tables are those of botocore's service models, no row more and none less."""
    assert set(table) == set(Session().get_service_model(service).shape_for(shape).enum)


def test_stopped_job_is_a_failure():
    """botocore's own waiter takes Stopped for success; its outputs are not all there."""
    assert job_status("Stopped").failed
    assert not job_status("Stopped").succeeded


def test_only_success_succeeds():
    """Exactly one status of each kind is success, and a failure is always an end."""
    for table, success in (
        (EXECUTION_STATUSES, "SUCCEEDED"),
        (JOB_STATUSES, "Completed"),
        (BUILD_STATUSES, "SUCCEEDED"),
    ):
        assert [name for name, row in table.items() if row.succeeded] == [success]
        assert all(row.terminal for row in table.values() if row.failed)


@pytest.mark.parametrize("look_up", [execution_status, job_status, build_status])
def test_unknown_status_is_an_error(look_up):
    """A status that AWS may add later is not treated like a known one."""
    with pytest.raises(UnknownStatusError) as caught:
        look_up("Completing")
    assert "'Completing'; expected one of " in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
