"""AWS's rules for a CreateProcessingJob request beyond its shapes, and what the local AWS does not support.

Pure functions over a request that ``validation`` has accepted. Sources: the documentation strings of the service model
and the pages byoc-* of the SageMaker developer guide; where AWS's own wording is known it is used. The
table in ``contract`` says what is stored without effect, and what is refused.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stepbridge_local.protocols import Scope
from stepbridge_local.services.sagemaker.contract import CONTRACT, Treatment, is_known, takes
from stepbridge_local.services.sagemaker.errors import validation_error
from stepbridge_local.services.sagemaker.s3_uri import split_uri

__all__ = ["DEFAULT_MAX_RUNTIME_SECONDS", "PROCESSING_FOLDER", "check", "with_defaults"]

PROCESSING_FOLDER = "/opt/ml/processing/"
DEFAULT_MAX_RUNTIME_SECONDS = 86400  # a day, which DescribeProcessingJob shows for jobs created without a limit

_S3_INPUT_DEFAULTS = {"S3InputMode": "File", "S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None"}
_ECR_IMAGE = re.compile(
    r"\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.[a-z0-9.-]+/"  # registry: account, region, suffix of the partition
    r"[a-z0-9]+([._/-]+[a-z0-9]+)*"  # repository
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


def check(scope: Scope, request: Mapping[str, Any]) -> None:
    """Raise ValidationException with everything in ``request`` that AWS refuses or the local AWS does not support."""
    problems = [*_broken_rules(scope, request), *_not_done_here(request)]
    if problems:
        raise validation_error(" ".join(problems))


def with_defaults(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with AWS's defaults filled in, as DescribeProcessingJob and processingjobconfig.json show it."""
    filled = dict(request)
    cluster = request["ProcessingResources"]["ClusterConfig"]
    if "InstancePreferences" not in cluster:  # they have their own number of instances, or use InstanceCount
        filled["ProcessingResources"] = {"ClusterConfig": {"InstanceCount": 1, **cluster}}
    filled.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME_SECONDS})
    if "ProcessingInputs" in request:
        filled["ProcessingInputs"] = [_input_with_defaults(given) for given in request["ProcessingInputs"]]
    if "ProcessingOutputConfig" in request:
        outputs = [{"AppManaged": False, **given} for given in _outputs(request)]
        filled["ProcessingOutputConfig"] = {**request["ProcessingOutputConfig"], "Outputs": outputs}
    return filled


def _input_with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    filled = {"AppManaged": False, **given}
    if "S3Input" in given:
        filled["S3Input"] = {**_S3_INPUT_DEFAULTS, **given["S3Input"]}
    return filled


# --- what AWS refuses -------------------------------------------------------------------------------------------------
def _broken_rules(scope: Scope, request: Mapping[str, Any]) -> Iterator[str]:
    inputs, outputs = request.get("ProcessingInputs", []), _outputs(request)
    yield from _role_rules(scope, request["RoleArn"])
    yield from _image_rules(request["AppSpecification"]["ImageUri"])
    yield from _cluster_rules(request["ProcessingResources"]["ClusterConfig"])
    yield from _repeated("InputName", (given["InputName"] for given in inputs))
    yield from _repeated("OutputName", (given["OutputName"] for given in outputs))
    yield from _repeated("Tag key", (tag["Key"] for tag in request.get("Tags", [])))
    paths = (given["S3Input"]["LocalPath"] for given in inputs if "LocalPath" in given.get("S3Input", {}))
    # AWS's message for this is empty (aws/sagemaker-python-sdk#4939). Here it has a text.
    yield from _repeated("LocalPath of inputs", (posixpath.normpath(path) for path in paths))
    for given in inputs:
        yield from _input_rules(given)
    for given in outputs:
        yield from _output_rules(given)
    for tag in request.get("Tags", []):
        if tag["Key"].lower().startswith("aws:"):
            yield f"Tag key '{tag['Key']}': keys that begin with aws: are reserved."


def _role_rules(scope: Scope, role_arn: str) -> Iterator[str]:
    if role_arn.split(":")[4] != scope.account_id:
        yield "RoleArn: Cross-account pass role is not allowed."


def _image_rules(image_uri: str) -> Iterator[str]:
    if not _ECR_IMAGE.fullmatch(image_uri):
        yield (
            f"Invalid image URI {image_uri}. Please provide a valid Amazon Elastic Container Registry path of the "
            "Docker image to run."
        )


def _cluster_rules(cluster: Mapping[str, Any]) -> Iterator[str]:
    if ("InstanceType" in cluster) == ("InstancePreferences" in cluster):
        yield "ClusterConfig must have exactly one of InstanceType and InstancePreferences."
    for member in ("SelectedInstanceType", "SelectedInstanceCount"):
        if member in cluster:
            yield f"{member} is read-only and not accepted in CreateProcessingJob."
    preferences = cluster.get("InstancePreferences", [])
    yield from _repeated("InstancePreferences InstanceType", (given["InstanceType"] for given in preferences))
    counted = [given for given in preferences if "InstanceCount" in given]
    if preferences and len(counted) != (0 if "InstanceCount" in cluster else len(preferences)):
        yield "InstanceCount must be set in ClusterConfig or in each of InstancePreferences, and not in both."


def _input_rules(given: Mapping[str, Any]) -> Iterator[str]:
    name = f"ProcessingInput '{given['InputName']}'"
    if ("S3Input" in given) == ("DatasetDefinition" in given):
        yield f"{name} must specify exactly one of S3Input and DatasetDefinition."
    definition, source = given.get("DatasetDefinition"), given.get("S3Input")
    if definition is not None:
        if ("AthenaDatasetDefinition" in definition) == ("RedshiftDatasetDefinition" in definition):
            yield f"{name} must specify exactly one of AthenaDatasetDefinition and RedshiftDatasetDefinition."
        yield from _path_rules(name, definition.get("LocalPath"), given.get("AppManaged", False))
    if source is None:
        return
    yield from _path_rules(name, source.get("LocalPath"), given.get("AppManaged", False))
    yield from _uri_rules(name, source["S3Uri"])
    if source.get("S3CompressionType") == "Gzip" and source.get("S3InputMode") != "Pipe":
        yield f"{name}: S3CompressionType Gzip can only be used when S3InputMode is Pipe."
    if source.get("S3InputMode") == "Pipe" and ("/" in given["InputName"] or "\0" in given["InputName"]):
        yield f"{name}: the name of a Pipe input is that of a file, its FIFO, and cannot hold '/' or a NUL character."


def _output_rules(given: Mapping[str, Any]) -> Iterator[str]:
    name = f"ProcessingOutput '{given['OutputName']}'"
    if ("S3Output" in given) == ("FeatureStoreOutput" in given):
        yield f"{name} must specify exactly one of S3Output and FeatureStoreOutput."
    if "FeatureStoreOutput" in given and not given.get("AppManaged", False):
        yield f"{name}: FeatureStoreOutput is only supported when AppManaged is true."
    target = given.get("S3Output")
    if target is not None:
        yield from _path_rules(name, target.get("LocalPath"), given.get("AppManaged", False))
        yield from _uri_rules(name, target["S3Uri"])


def _path_rules(name: str, path: str | None, app_managed: bool) -> Iterator[str]:
    if path is None:
        if not app_managed:
            yield f"{name}: LocalPath is required when AppManaged is false."
    elif not path.startswith(PROCESSING_FOLDER):
        yield f"{name}: LocalPath '{path}' must begin with {PROCESSING_FOLDER}."
    elif ".." in path.split("/") or "\0" in path:
        yield f"{name}: LocalPath '{path}' must not contain '..' or a NUL character."


def _uri_rules(name: str, uri: str) -> Iterator[str]:
    try:
        bucket, _ = split_uri(uri)
    except ValueError as error:
        yield f"{name}: S3Uri {error}."
        return
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        yield f"{name}: S3Uri '{uri}' has no valid bucket name."


def _repeated(what: str, values: Iterable[str]) -> Iterator[str]:
    for value, count in Counter(values).items():
        if count > 1:
            yield f"{what} '{value}' occurs {count} times; it must be unique."


def _outputs(request: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    outputs: Sequence[Mapping[str, Any]] = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return outputs


# --- what AWS does and the local AWS does not -------------------------------------------------------------------------
def _not_done_here(request: Mapping[str, Any]) -> Iterator[str]:
    for path, where in _refused(request, "CreateProcessingJob", ""):
        reason = CONTRACT[path].note if path in CONTRACT else "it is newer than this version of stepbridge"
        yield f"The local AWS does not do {path.rpartition('.')[2].replace('=', ' ')}{where}: {reason}."


def _refused(value: Any, path: str, where: str, app_managed: bool = False) -> Iterator[tuple[str, str]]:
    """The outermost members and values that the table does not let pass, and which input or output each is in."""
    row = CONTRACT.get(path)
    needs_app_managed = row is not None and row.treatment is Treatment.APP_MANAGED
    if not is_known(path) or (needs_app_managed and not app_managed):
        yield path, where
    elif isinstance(value, list):
        for item in value:
            yield from _refused(item, f"{path}[]", where, app_managed)
    elif isinstance(value, str):
        if not takes(path, value):
            yield f"{path}={value}", where
    elif isinstance(value, Mapping) and f"{path}{{}}" not in CONTRACT:
        app_managed = value.get("AppManaged", app_managed)
        for direction in ("Input", "Output"):
            where = f" (Processing{direction} '{value[f'{direction}Name']}')" if f"{direction}Name" in value else where
        for member, inner in value.items():
            yield from _refused(inner, f"{path}.{member}", where, app_managed)
