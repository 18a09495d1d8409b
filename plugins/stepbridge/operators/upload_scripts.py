"""UploadScriptsOperator: the model's scripts are in S3 under their content digest."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from airflow.sdk import Context

from stepbridge.aws.arns import S3Uri
from stepbridge.errors import FolderError
from stepbridge.images.build_context import FolderFile, entries_of, require_files, scripts_folder
from stepbridge.images.digest import content_digest
from stepbridge.links.addresses import objects_address
from stepbridge.links.stepbridge import ObjectsLink
from stepbridge.operators.base import CONTAINER_STAGE, StepbridgeOperator

LARGEST_FOLDER_BYTES: Final = 50 * 1024 * 1024


class UploadScriptsOperator(StepbridgeOperator):
    """Make sure that the scripts are in S3, and return ``code_uri``, the prefix they are under.

    The prefix is the digest of the files. A manifest is written after the last of them; if it is there, nothing is
    uploaded and the task ends at once.

    :param scripts_folder: the folder with ``preprocessing.py`` and ``postprocessing.py``; modules beside them go along.
    """

    template_fields: Sequence[str] = (*StepbridgeOperator.template_fields, "scripts_folder")
    operator_extra_links = (ObjectsLink(),)

    def __init__(self, *, scripts_folder: str | Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scripts_folder = str(scripts_folder)

    def execute(self, context: Context) -> str | None:
        """``s3://<bucket>/stepbridge/code/<model>/<digest>/``; None when no wanted stage runs a script.

        Raises FolderError, ConfigurationError, DeploymentDocumentError and ``AwsError``.
        """
        wanted = [stage for stage in self.wanted_stages(context) if stage != CONTAINER_STAGE]
        if not wanted:
            self.log.info("no stage of this run has a script")
            return None
        folder = Path(self.scripts_folder)
        files = scripts_folder(folder)
        require_files(folder, files, [f"{stage}.py" for stage in wanted])
        _require_small(folder, files)
        entries = entries_of(files)
        digest = content_digest(entries)
        manifest = self._base.child(f"manifests/{digest}.json")
        prefix = self._base.child(f"{digest}/")
        address = objects_address(str(prefix), self.deployed.region, self.hook.local_endpoint("s3"))
        ObjectsLink.push(context, address)
        if self.hook.s3.exists(manifest):
            self.log.info("%s is there: nothing to upload", prefix)
            return str(prefix)
        for file in files:
            self.hook.s3.upload(file.source, prefix.child(file.path))
        content = json.dumps({"files": [asdict(entry) for entry in entries]}, indent=2)
        self.hook.s3.write(manifest, content.encode(), "application/json")
        self.log.info("%d files uploaded to %s", len(files), prefix)
        return str(prefix)

    def differs_from(self, code_uri: str) -> bool:
        """Whether the folder has changed since it was uploaded to there; False for scripts from elsewhere."""
        digest = content_digest(entries_of(scripts_folder(Path(self.scripts_folder))))
        return code_uri.startswith(f"{self._base}/") and code_uri != str(self._base.child(f"{digest}/"))

    @property
    def _base(self) -> S3Uri:
        return S3Uri(self.deployed.bucket, f"stepbridge/code/{self.model}")


def _require_small(folder: Path, files: Sequence[FolderFile]) -> None:
    """Every job downloads the whole prefix: a folder that holds data by mistake is an error."""
    sizes = sorted(((file.source.stat().st_size, file.path) for file in files), reverse=True)
    total = sum(size for size, _ in sizes)
    if total > LARGEST_FOLDER_BYTES:
        largest = ", ".join(f"{path} ({size} bytes)" for size, path in sizes[:3])
        raise FolderError(
            str(folder),
            f"{total} bytes, the largest being {largest}",
            f"scripts of at most {LARGEST_FOLDER_BYTES} bytes together",
            "keep data and model files elsewhere: data comes from input_uri, models belong into the container folder",
        )
