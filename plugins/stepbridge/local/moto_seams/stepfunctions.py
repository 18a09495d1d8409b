"""Step Functions: moto's interpreter, extended so that it runs Processing jobs and behaves as AWS documents."""

from __future__ import annotations

from stepbridge.local.moto_seams.server import before_first_request
from stepbridge.local.services import LocalServices

__all__ = ["install"]


def install(services: LocalServices) -> None:
    """Connect the interpreter to the services of the local AWS, when it is first asked for.

    Its import takes seconds; CloudFormation needs it too, as it makes state machines.
    """
    for service in ("stepfunctions", "cloudformation"):
        before_first_request(service, lambda: _connect(services))


def _connect(services: LocalServices) -> None:
    from moto.core.config import default_user_config

    from stepbridge.local.moto_seams import (
        stepfunctions_api,
        stepfunctions_environment,
        stepfunctions_errors,
        stepfunctions_lanes,
        stepfunctions_machines,
        stepfunctions_queries,
        stepfunctions_sagemaker,
        stepfunctions_starts,
        stepfunctions_states,
    )

    default_user_config["stepfunctions"]["execute_state_machine"] = True
    stepfunctions_environment.install(services.disturbances.pace)
    stepfunctions_errors.install()
    stepfunctions_queries.install()
    stepfunctions_states.install()
    stepfunctions_lanes.install()
    stepfunctions_sagemaker.install(services.processing, services.disturbances)
    stepfunctions_machines.install()
    stepfunctions_starts.install(services.logs)
    stepfunctions_api.install()
