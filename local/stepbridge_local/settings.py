"""How one local AWS is set up: values only, read from nowhere."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

__all__ = ["DEFAULT_PORT", "DEFAULT_RUNTIME", "LOOPBACK", "LocalAwsSettings", "Runtime"]

DEFAULT_PORT = 4566
LOOPBACK = "127.0.0.1"  # the only address ever listened on: the local AWS runs code for whoever reaches it

Runtime = Literal["process", "docker", "auto"]

DEFAULT_RUNTIME: Final[Runtime] = "process" if sys.platform == "linux" else "docker"  # namespaces are of Linux


@dataclass(frozen=True)
class LocalAwsSettings:
    """The settings of a local AWS.

    ``port`` 0 takes a free one. ``data_dir`` keeps objects, images and logs of jobs; the same folder again brings them
    back. ``scikit_learn_folder`` holds the Dockerfile from which the prebuilt scikit-learn image is made on first use.
    ``max_concurrent_jobs`` containers run at the same time, further ones wait their turn. ``enforce_iam`` denies what
    no policy allows, as ``stepbridge local fault set iam`` does later. ``runtime`` is where containers run; ``auto``
    is ``docker`` where an engine answers and ``process`` elsewhere. ``base_image`` is the BASE_IMAGE argument of the
    prebuilt scikit-learn image's Dockerfile; None leaves it as it stands there.
    """

    data_dir: Path
    port: int = DEFAULT_PORT
    scikit_learn_folder: Path = Path("containers/scikit_learn")
    max_concurrent_jobs: int = field(default_factory=lambda: max(2, os.cpu_count() or 1))
    verbose: bool = False
    enforce_iam: bool = False
    runtime: Runtime = DEFAULT_RUNTIME
    base_image: str | None = None

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
