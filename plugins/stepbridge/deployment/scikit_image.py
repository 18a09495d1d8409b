"""The prebuilt scikit-learn image of a region, from the SageMaker SDK's table or stepbridge's copy of it.

``sagemaker.core.image_uris.retrieve`` reads the same table, but importing it takes five seconds of CPU, and Airflow's
constraints do not always allow the SDK. So the table is read from the installed SDK where there is one, else from
``scikit_images.json`` beside this module, which ``make scikit-images`` renews. A contract test compares all three.
"""

import json
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import botocore.session

from stepbridge.errors import TemplateError

_DISTRIBUTION: Final = "sagemaker-core"
_TABLE: Final = "sagemaker/core/image_uri_config/sklearn.json"
# Processing jobs run the images of the training scope; the SDK has no scope for them.
_SCOPE: Final = "training"
_VERSION_LABEL: Final = re.compile(r"""^LABEL stepbridge\.scikit-learn-image=["']?([\w.-]+)""", re.MULTILINE)
COPY: Final = Path(__file__).with_name("scikit_images.json")
_REMEDY: Final = "upgrade stepbridge or sagemaker-core, or name the image with --parameter ScikitImageUri=<image URI>"

Versions = Mapping[str, Mapping[str, Any]]
"""Version -> its entry in the SDK's table: repository, and the registry's account by region."""


def project_version(project_root: Path) -> str | None:
    """The version that the project's stand-in stands for, so that scripts see the same on AWS; None without one."""
    dockerfile = project_root / "containers" / "scikit_learn" / "Dockerfile"
    found = _VERSION_LABEL.search(dockerfile.read_text("utf-8")) if dockerfile.is_file() else None
    return found[1] if found else None


def scikit_learn_image(region: str, version: str | None = None) -> str:
    """The URI of SageMaker's scikit-learn image in ``region``; without ``version`` (``1.2-1``) the newest known one.

    Raises TemplateError for a region or version that the table does not have.
    """
    versions = scikit_learn_versions()
    version = version or newest_version(versions)
    if version not in versions:
        raise TemplateError("scikit-learn image", f"version {version!r}", f"one of {', '.join(versions)}", _REMEDY)
    image = versions[version]
    account = image["registries"].get(region)
    if account is None:
        expected = f"one of {', '.join(image['registries'])}"
        raise TemplateError("scikit-learn image", f"none of version {version} in {region}", expected, _REMEDY)
    return f"{account}.dkr.ecr.{region}.{_dns_suffix(region)}/{image['repository']}:{version}-cpu-py3"


def scikit_learn_versions() -> Versions:
    """The table of the installed SDK; of stepbridge's copy where there is none."""
    return sdk_versions() or copied_versions()


def sdk_versions() -> Versions | None:
    """The table of the installed SDK; None without sagemaker-core 2."""
    try:
        table = Path(str(distribution(_DISTRIBUTION).locate_file(_TABLE))).read_text(encoding="utf-8")
    except (PackageNotFoundError, FileNotFoundError):
        return None
    versions = json.loads(table)[_SCOPE]["versions"]
    return {name: {key: entry[key] for key in ("repository", "registries")} for name, entry in versions.items()}


def copied_versions() -> Versions:
    """The table as stepbridge carries it."""
    return dict(json.loads(COPY.read_text(encoding="utf-8")))


def newest_version(versions: Iterable[str]) -> str:
    """The highest of names like ``1.2-1``; those with a suffix (``1.4-2-py312``) are variants and do not count."""
    plain = [version for version in versions if re.fullmatch(r"\d+(\.\d+)*-\d+", version)]
    return max(plain, key=lambda version: [int(part) for part in re.split(r"[.-]", version)])


def _dns_suffix(region: str) -> str:
    """``amazonaws.com`` and its like: what follows the region in host names, by the region's partition."""
    session = botocore.session.get_session()
    wanted = session.get_partition_for_region(region)
    suffixes = {part["id"]: part["outputs"]["dnsSuffix"] for part in session.get_data("partitions")["partitions"]}
    return str(suffixes[wanted])
