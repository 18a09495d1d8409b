"""stepbridge's operators, for DAGs that are written by hand: see docs/hand-written-dags.md.

Each is imported when it is first used, so that a DAG file imports only what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepbridge.operators.approve_cost import CostApprovalOperator
    from stepbridge.operators.build_image import BuildImageOperator
    from stepbridge.operators.start_execution import StartExecutionOperator
    from stepbridge.operators.upload_scripts import UploadScriptsOperator

__all__ = ["BuildImageOperator", "CostApprovalOperator", "StartExecutionOperator", "UploadScriptsOperator"]

_MODULES = {
    "BuildImageOperator": "build_image",
    "CostApprovalOperator": "approve_cost",
    "StartExecutionOperator": "start_execution",
    "UploadScriptsOperator": "upload_scripts",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
