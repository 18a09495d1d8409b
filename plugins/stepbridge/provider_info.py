"""What ``airflow providers list`` and ``airflow providers get stepbridge`` show."""

from typing import Any

_INTEGRATION = "stepbridge"
_PROJECT_ROOT = {
    "description": "The folder with containers/ and scripts/ where it is neither the DAGs folder nor the one above.",
    "version_added": "0.2.0",
    "type": "string",
    "example": "/opt/airflow/models",
    "default": "",
}


def get_provider_info() -> dict[str, Any]:
    """The provider's description by Airflow's schema (``airflow/provider_info.schema.json``); loads no module."""
    return {
        "package-name": "stepbridge",
        "name": "stepbridge",
        "description": "Batch inference on AWS Step Functions and SageMaker Processing, one execution per DAG run.",
        "integrations": [{"integration-name": _INTEGRATION, "tags": ["aws"]}],
        "operators": _modules(
            "stepbridge.operators.approve_cost",
            "stepbridge.operators.build_image",
            "stepbridge.operators.start_execution",
            "stepbridge.operators.upload_scripts",
        ),
        "sensors": _modules("stepbridge.sensors.execution", "stepbridge.sensors.input"),
        "triggers": _modules("stepbridge.triggers.execution", "stepbridge.triggers.input"),
        "hooks": _modules("stepbridge.hooks.stepbridge"),
        "config": {
            "stepbridge": {"description": "Settings of stepbridge.", "options": {"project_root": _PROJECT_ROOT}}
        },
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": list(names)}]
