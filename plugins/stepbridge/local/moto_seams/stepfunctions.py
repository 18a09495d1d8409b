"""Step Functions: moto's interpreter, extended so that it runs Processing jobs and behaves as AWS documents."""

from __future__ import annotations

from datetime import UTC, datetime

from stepbridge.local.moto_seams.server import before_first_request
from stepbridge.local.persistence.executions import RECORDS_FILE, ExecutionRecords
from stepbridge.local.services import LocalServices

__all__ = ["install"]


def install(services: LocalServices) -> None:
    """Connect the interpreter to the services of the local AWS, when it is first asked for.

    Its import takes seconds; CloudFormation needs it too, as it makes state machines.
    """
    file = services.settings.data_dir.resolve() / "executions" / RECORDS_FILE
    records = ExecutionRecords(file, datetime.now(UTC))
    services.at_stop(records.close)
    for service in ("stepfunctions", "cloudformation"):
        before_first_request(service, lambda: _connect(services, records))


def _connect(services: LocalServices, records: ExecutionRecords) -> None:
    from moto.core.config import default_user_config

    from stepbridge.local.moto_seams import (
        stepfunctions_api,
        stepfunctions_environment,
        stepfunctions_errors,
        stepfunctions_integrations,
        stepfunctions_intrinsics,
        stepfunctions_lanes,
        stepfunctions_machines,
        stepfunctions_paths,
        stepfunctions_queries,
        stepfunctions_sagemaker,
        stepfunctions_starts,
        stepfunctions_states,
        stepfunctions_versions,
    )
    from stepbridge.local.moto_seams.stepfunctions_events import StatusChanges
    from stepbridge.local.moto_seams.stepfunctions_executions import ExecutionSurroundings

    default_user_config["stepfunctions"]["execute_state_machine"] = True
    stepfunctions_environment.install(services.disturbances.pace)
    stepfunctions_errors.install()
    stepfunctions_queries.install()
    stepfunctions_paths.install()
    stepfunctions_intrinsics.install()
    stepfunctions_states.install()
    stepfunctions_lanes.install()
    stepfunctions_integrations.install(services.permissions)
    stepfunctions_sagemaker.install(services.processing, services.disturbances)
    stepfunctions_machines.install()
    surroundings = ExecutionSurroundings(records, services.logs, StatusChanges().announce)
    stepfunctions_starts.install(surroundings)
    stepfunctions_api.install()
    stepfunctions_versions.install()
