"""Step Functions: moto's interpreter, extended so that it runs Processing jobs and behaves as AWS documents."""

from __future__ import annotations

from datetime import UTC, datetime

from stepbridge_local.persistence.executions import RECORDS_FILE, ExecutionRecords
from stepbridge_local.services.collaborators import LocalServices
from stepbridge_local.services.moto.application import before_first_request

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

    from stepbridge_local.services.stepfunctions.moto import api as stepfunctions_api
    from stepbridge_local.services.stepfunctions.moto import environment as stepfunctions_environment
    from stepbridge_local.services.stepfunctions.moto import errors as stepfunctions_errors
    from stepbridge_local.services.stepfunctions.moto import integrations as stepfunctions_integrations
    from stepbridge_local.services.stepfunctions.moto import intrinsics as stepfunctions_intrinsics
    from stepbridge_local.services.stepfunctions.moto import lanes as stepfunctions_lanes
    from stepbridge_local.services.stepfunctions.moto import machines as stepfunctions_machines
    from stepbridge_local.services.stepfunctions.moto import paths as stepfunctions_paths
    from stepbridge_local.services.stepfunctions.moto import queries as stepfunctions_queries
    from stepbridge_local.services.stepfunctions.moto import sagemaker as stepfunctions_sagemaker
    from stepbridge_local.services.stepfunctions.moto import starts as stepfunctions_starts
    from stepbridge_local.services.stepfunctions.moto import states as stepfunctions_states
    from stepbridge_local.services.stepfunctions.moto import versions as stepfunctions_versions
    from stepbridge_local.services.stepfunctions.moto.events import StatusChanges
    from stepbridge_local.services.stepfunctions.moto.executions import ExecutionSurroundings

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
