"""Inputs of a job: which S3 objects belong to an input, which instance gets them, and their paths.

The decisions are pure (``relative_path``, ``manifest_entries``, ``shard``); ``S3Inputs`` carries them out.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stepbridge_local.protocols import ObjectStore, Scope, ServiceError
from stepbridge_local.services.sagemaker.errors import DataDownloadError
from stepbridge_local.services.sagemaker.pipe_inputs import PipeInput, StreamedObject
from stepbridge_local.services.sagemaker.s3_uri import split_uri

__all__ = ["InputFile", "S3Inputs", "manifest_entries", "relative_path", "shard"]


@dataclass(frozen=True)
class InputFile:
    """One object of an input. ``path`` is relative to the input's LocalPath; None for a folder marker."""

    bucket: str
    key: str
    path: str | None


def relative_path(prefix: str, key: str) -> str | None:
    """The path of the object below LocalPath: its key without the prefix's folders. None for a folder marker.

    ``S3Uri`` is a key name prefix, so ``data`` means both the folder ``data/`` and ``database.csv``. Objects in the
    folder are placed relative to it, all others relative to the last folder in the prefix.
    """
    if key.endswith("/"):
        return None
    if key.startswith(f"{prefix}/"):
        return key.removeprefix(f"{prefix}/")
    return key[prefix.rfind("/") + 1 :]


def manifest_entries(manifest: str) -> list[InputFile]:
    """The objects that a manifest lists: a JSON array of ``{"prefix": "s3://…"}`` and the suffixes that follow it.

    The suffix is also the path below LocalPath (API page S3DataSource). Raises ValueError saying what is wrong.
    """
    document = json.loads(manifest)
    if not isinstance(document, list) or not document or not isinstance(document[0], dict):
        raise ValueError('a manifest is a JSON array whose first element is {"prefix": "s3://bucket/folder/"}')
    prefix, suffixes = document[0].get("prefix"), document[1:]
    if set(document[0]) != {"prefix"} or not isinstance(prefix, str):
        raise ValueError('the first element of a manifest has one member, "prefix", with an S3 URI')
    odd = [suffix for suffix in suffixes if not isinstance(suffix, str) or not suffix]
    if odd:
        raise ValueError(f"after its first element a manifest lists key suffixes as strings, not {odd[0]!r}")
    bucket, folder = split_uri(prefix)
    return [InputFile(bucket, folder + suffix, suffix) for suffix in suffixes]


def shard(files: Sequence[InputFile], instance: int, instances: int) -> list[InputFile]:
    """The files of one instance (counted from 0) if an input is ShardedByS3Key: every n-th in key order."""
    return sorted(files, key=lambda file: file.key)[instance::instances]


class S3Inputs:
    """The inputs of one job, listed once and brought into the folder of each of its instances.

    ``go_on`` is called before each object. If it returns False, the rest is not downloaded.
    """

    def __init__(
        self, store: ObjectStore, scope: Scope, inputs: Sequence[Mapping[str, Any]], go_on: Callable[[], bool]
    ) -> None:
        self._store = store
        self._scope = scope
        self._go_on = go_on
        # An AppManaged input is only described to the container.
        self._inputs = [given for given in inputs if not given["AppManaged"]]
        self._files: dict[str, list[InputFile]] = {}

    def find(self) -> None:
        """List the objects of each input. Raises DataDownloadError if an input has none."""
        for given in self._inputs:
            self._files[given["InputName"]] = self._listed(given["InputName"], given["S3Input"])

    def download(self, ml_folder: Path, instance: int, instances: int) -> None:
        """Download an instance's share of the File inputs into its ``/opt/ml``. Raises DataDownloadError."""
        chosen = [given for given in self._inputs if given["S3Input"]["S3InputMode"] == "File"]
        for given in chosen:
            _folder(given, ml_folder).mkdir(parents=True, exist_ok=True)
        for given in chosen:
            for file in self._share(given, instance, instances):
                if not self._go_on():
                    return
                if file.path is not None:
                    self._fetch(given["InputName"], file, _folder(given, ml_folder) / _inside(given["InputName"], file))

    def pipes(self, ml_folder: Path, instance: int, instances: int) -> Iterator[PipeInput]:
        """The Pipe inputs of one instance, each with its share of the objects."""
        for given in self._inputs:
            source = given["S3Input"]
            if source["S3InputMode"] == "Pipe":
                objects = [
                    self._streamed(file) for file in self._share(given, instance, instances) if file.path is not None
                ]
                gzip = source["S3CompressionType"] == "Gzip"
                yield PipeInput(given["InputName"], source["S3Uri"], _folder(given, ml_folder), objects, gzip)

    def _share(self, given: Mapping[str, Any], instance: int, instances: int) -> Sequence[InputFile]:
        files = self._files[given["InputName"]]
        sharded = given["S3Input"]["S3DataDistributionType"] == "ShardedByS3Key"
        return shard(files, instance, instances) if sharded else files

    def _streamed(self, file: InputFile) -> StreamedObject:
        return StreamedObject(
            f"s3://{file.bucket}/{file.key}", lambda: self._store.read(self._scope, file.bucket, file.key)
        )

    def _listed(self, name: str, source: Mapping[str, Any]) -> list[InputFile]:
        bucket, key = split_uri(source["S3Uri"])
        try:
            if source["S3DataType"] == "ManifestFile":
                return manifest_entries(self._text(bucket, key))
            found = self._store.list_objects(self._scope, bucket, key)
            files = [InputFile(bucket, summary.key, relative_path(key, summary.key)) for summary in found]
        except (ServiceError, ValueError) as error:
            raise DataDownloadError(
                f"ProcessingInput {name}", f'{source["S3Uri"]} of input "{name}": {error}'
            ) from error
        if not files:
            # The wording of CreateTrainingJob. A processing job fails with it when it runs.
            found_nothing = f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source "{name}"'
            remedy = (
                f"Please ensure that the bucket exists in the selected region ({self._scope.region}) and that objects "
                "exist under that S3 prefix."
            )
            raise DataDownloadError(f"ProcessingInput {name}", found_nothing, remedy=remedy)
        return files

    def _text(self, bucket: str, key: str) -> str:
        with TemporaryDirectory(prefix="manifest-") as folder:
            manifest = Path(folder) / "manifest"
            self._store.download(self._scope, bucket, key, manifest)
            return manifest.read_text(encoding="utf-8")

    def _fetch(self, name: str, file: InputFile, destination: Path) -> None:
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            if destination.is_dir():
                raise IsADirectoryError(f"{file.path} is a folder of another object or input as well")
            self._store.download(self._scope, file.bucket, file.key, destination)
        except (ServiceError, OSError) as error:
            found = f's3://{file.bucket}/{file.key} of input "{name}": {error}'
            raise DataDownloadError(f"ProcessingInput {name}", found) from error


def _folder(given: Mapping[str, Any], ml_folder: Path) -> Path:
    return ml_folder / posixpath.relpath(given["S3Input"]["LocalPath"], "/opt/ml")


def _inside(name: str, file: InputFile) -> str:
    """The path of a file, which must stay inside LocalPath: a key may hold ``..`` and ``//``."""
    parts = [part for part in (file.path or "").split("/") if part]
    if not parts or any(part in {".", ".."} or "\0" in part for part in parts):
        found = f's3://{file.bucket}/{file.key} of input "{name}" cannot be a file name'
        raise DataDownloadError(f"ProcessingInput {name}", found, "a key without the parts '.' and '..'")
    return "/".join(parts)
