"""The log lines for a job that succeeded but stored nothing.

AWS does not report this, so it is hard to notice that a script wrote into another folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from stepbridge_local.protocols import ContainerExit
from stepbridge_local.services.sagemaker.outputs import files_below

__all__ = ["MARK", "notes_on_silence"]

MARK: Final = "[local AWS] "
MOST_NAMES: Final = 10
_MESSAGE: Final = "output/message"  # the exit message, which is no data


def notes_on_silence(
    request: Mapping[str, Any], ml_folder: Path, ended: ContainerExit, began_seconds: float
) -> list[str]:
    """Lines about the output folders and the working folder of an instance; none if an output has a file.

    ``began_seconds`` is when the container started. Older files were not written by the job.
    """
    given = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    outputs = [each["S3Output"]["LocalPath"] for each in given if "LocalPath" in each.get("S3Output", {})]
    if not outputs or any(True for path in outputs for _ in files_below(_place(path, ml_folder), ml_folder)):
        return []
    lines = [f"output folder: {path}, {_content(_place(path, ml_folder))}" for path in outputs]
    if ended.working_folder:
        made = ", ".join(ended.left_behind) or "nothing"
        lines.append(f"working directory: {ended.working_folder}; the job made {made} there")
    elsewhere = [
        f"/opt/ml/{name}"
        for name, path in files_below(ml_folder, ml_folder)
        if name != _MESSAGE and path.stat().st_mtime >= began_seconds
    ]
    if elsewhere:
        more = "" if len(elsewhere) <= MOST_NAMES else f" and {len(elsewhere) - MOST_NAMES} more"
        lines.append(f"elsewhere: the job wrote {', '.join(elsewhere[:MOST_NAMES])}{more}")
    return [MARK + line for line in lines]


def _place(path: str, ml_folder: Path) -> Path:
    return ml_folder / path.removeprefix("/opt/ml/")


def _content(folder: Path) -> str:
    """What lies in a folder that has no file: links, folders, sockets."""
    if folder.is_symlink() or not folder.is_dir():
        return "which the job replaced by something that is no folder"
    names = [entry.name + (" (a link)" if entry.is_symlink() else "") for entry in islice(folder.iterdir(), MOST_NAMES)]
    return f"in which is no file, only {', '.join(sorted(names))}" if names else "which is empty"
