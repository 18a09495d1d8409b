"""Step Functions: moto's interpreter, extended so that it runs Processing jobs and behaves as AWS documents."""

from __future__ import annotations

from stepbridge_local.fault_injection.active_faults import FaultInjection
from stepbridge_local.persistence.executions import ExecutionRecords
from stepbridge_local.protocols import LogSink
from stepbridge_local.services.iam.moto.authorization import MotoDirectory
from stepbridge_local.services.iam.permissions import Permissions
from stepbridge_local.services.moto.application import MotoApplication
from stepbridge_local.services.sagemaker.service import ProcessingService

__all__ = ["install"]


def install(
    application: MotoApplication,
    records: ExecutionRecords,
    logs: LogSink,
    processing: ProcessingService,
    permissions: Permissions,
    directory: MotoDirectory,
    fault_injection: FaultInjection,
) -> None:
    """Connect the interpreter to the services of the local AWS, at the first request for it.

    Its import takes seconds. CloudFormation needs it too, because it creates state machines.
    """

    def connect() -> None:
        from moto.core.config import default_user_config

        from stepbridge_local.services.stepfunctions.moto import (
            activities,
            api,
            branches,
            checks,
            distributed_map,
            environment,
            errors,
            intrinsics,
            map_runs,
            paths,
            processing_jobs,
            queries,
            role_permissions,
            service_integrations,
            start_execution,
            state_machines,
            states,
            sync_execution,
            test_state,
            unfit_values,
            versions,
        )
        from stepbridge_local.services.stepfunctions.moto.events import StatusChanges
        from stepbridge_local.services.stepfunctions.moto.executions import ExecutionServices
        from stepbridge_local.services.stepfunctions.moto.restored import RestoredExecutions

        default_user_config["stepfunctions"]["execute_state_machine"] = True
        known_activities = activities.Activities()
        pace = fault_injection.pace
        execution_services = ExecutionServices(records, logs, StatusChanges().announce, pace, known_activities.of)
        restored = RestoredExecutions(execution_services)
        environment.install()
        errors.install()
        queries.install()
        paths.install()
        intrinsics.install()
        states.install()
        unfit_values.install()
        branches.install()
        clients = service_integrations.RoleClients(application, permissions, directory)
        service_integrations.install(clients)
        distributed_map.install(clients, pace)
        processing_jobs.install(processing, fault_injection, permissions)
        state_machines.install(restored)
        start_execution.install(execution_services)
        api.install(restored)
        map_runs.install()
        activities.install(known_activities)
        sync_execution.install()
        test_state.install(known_activities, pace)
        versions.install()
        checks.install()
        role_permissions.install(permissions)  # last: it wraps methods that the others replace

    application.before_first_request(connect, "stepfunctions", "cloudformation")
