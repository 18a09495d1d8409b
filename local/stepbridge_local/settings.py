"""The settings of a local AWS, as plain values."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

__all__ = [
    "DEFAULT_DATA_DIR",
    "DEFAULT_PORT",
    "DEFAULT_RUNTIME",
    "LOOPBACK",
    "SCIKIT_LEARN_FOLDER",
    "LocalAwsSettings",
    "Runtime",
]

DEFAULT_DATA_DIR: Final = Path(".stepbridge/local-aws")
DEFAULT_PORT: Final = 4566
LOOPBACK: Final = "127.0.0.1"  # it listens on no other address, because it runs code for all its clients
SCIKIT_LEARN_FOLDER: Final = Path(__file__).parent / "scikit_learn"

Runtime = Literal["process", "docker", "auto"]

DEFAULT_RUNTIME: Final[Runtime] = "process" if sys.platform == "linux" else "docker"  # only Linux has namespaces


@dataclass(frozen=True)
class LocalAwsSettings:
    """The settings of a local AWS.

    ``port`` 0 takes a free one. ``data_dir`` keeps objects, images and logs of jobs for later starts with the same
    folder. ``scikit_learn_folder`` has the Dockerfile of the image that stands in for SageMaker's prebuilt
    scikit-learn image; it is built on first use. ``max_concurrent_jobs`` jobs run at the same time, the others
    wait. ``enforce_iam`` denies what no policy allows, as ``stepbridge-local fault set iam`` does later. ``runtime``
    runs containers; ``auto`` is ``docker`` if an engine answers, else ``process``. ``base_image`` is the
    BASE_IMAGE argument of the scikit-learn Dockerfile and of builds that set none; None leaves the defaults of the
    Dockerfiles.
    ``allowed_hosts`` are other host names for the endpoint, and ``allowed_origins`` are origins of web pages, such as
    ``http://127.0.0.1:3000``, that may use it.
    """

    data_dir: Path
    port: int = DEFAULT_PORT
    scikit_learn_folder: Path = SCIKIT_LEARN_FOLDER
    max_concurrent_jobs: int = field(default_factory=lambda: max(2, os.cpu_count() or 1))
    verbose: bool = False
    enforce_iam: bool = False
    runtime: Runtime = DEFAULT_RUNTIME
    base_image: str | None = None
    allowed_hosts: frozenset[str] = frozenset()
    allowed_origins: frozenset[str] = frozenset()

    @property
    def s3_folder(self) -> Path:
        return self.data_dir / "s3"

    @property
    def registry_folder(self) -> Path:
        return self.data_dir / "registry"

    @property
    def images_folder(self) -> Path:
        return self.data_dir / "images"

    @property
    def jobs_folder(self) -> Path:
        return self.data_dir / "jobs"

    @property
    def work_folder(self) -> Path:
        return self.data_dir / "work"
