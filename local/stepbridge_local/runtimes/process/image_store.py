"""Images and their layers on disk. They are never incomplete, and survive a restart.

``<images folder>/<64 hex>/`` holds ``image.json``, the file tree ``rootfs/`` and ``venv``, a link to the virtual
environment's layer. ``layers/<key>/`` holds one state of a virtual environment as ``tree/opt/venv`` and ``layer.json``;
the key is a digest of everything that led to it, so an unchanged ``pip install`` is found and not run again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from stepbridge_local.protocols import BuiltImage
from stepbridge_local.runtimes.process.folders import locked, remove_tree
from stepbridge_local.runtimes.process.image import ENVIRONMENT_PATH, ImageConfig, PythonInstallation

__all__ = ["ImageStore", "Layer", "StoredImage"]

_IMAGE_ID: Final = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Layer:
    """One state of a virtual environment. ``packages`` are ``name==version``, sorted."""

    key: str
    tree: Path
    packages: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True)
class StoredImage:
    """An image on disk."""

    image_id: str
    folder: Path
    layer_key: str
    config: ImageConfig
    python: PythonInstallation
    size_bytes: int

    @property
    def rootfs(self) -> Path:
        return self.folder / "rootfs"

    def as_built(self) -> BuiltImage:
        """The image as the other parts of the local AWS know it."""
        return BuiltImage(self.image_id, self.size_bytes, self.config.to_oci())


class ImageStore:
    """The images below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @property
    def temporary_folder(self) -> Path:
        """A folder for incomplete content, on the same file system, so that a rename completes it."""
        return self.folder / "tmp"

    @contextmanager
    def making(self, key: str) -> Iterator[None]:
        """A lock: only one thread of one program at a time makes the layer ``key``."""
        with locked(self.folder / "locks" / key):
            yield

    def layer(self, key: str) -> Layer | None:
        """The layer with that key, if it was ever completed."""
        folder = self.folder / "layers" / key
        content = _read(folder / "layer.json")
        if content is None:
            return None
        return Layer(key, folder / "tree", tuple(content["packages"]), content["size_bytes"])

    def add_layer(self, key: str, folder: Path, packages: tuple[str, ...], size_bytes: int) -> Layer:
        """Store ``folder``, which contains ``tree/``, as the layer ``key``. If the layer exists already, it is kept."""
        _write(folder / "layer.json", {"packages": packages, "size_bytes": size_bytes})
        self._complete(folder, self.folder / "layers" / key)
        return Layer(key, self.folder / "layers" / key / "tree", packages, size_bytes)

    def image(self, image_id: str) -> StoredImage | None:
        """The image with that id (``sha256:<64 hex>``), if it is here."""
        match = _IMAGE_ID.fullmatch(image_id)
        folder = self.folder / (match[1] if match else "none")
        content = None if match is None else _read(folder / "image.json")
        if content is None:
            return None
        return StoredImage(
            image_id,
            folder,
            content["layer"],
            ImageConfig.from_oci(content["config"]),
            PythonInstallation(**content["python"]),
            content["size_bytes"],
        )

    def add_image(self, image: StoredImage, packages: tuple[str, ...]) -> StoredImage:
        """Keep ``image.folder``, which holds ``rootfs/``; return the image at its final place."""
        target = self.folder / image.image_id.removeprefix("sha256:")
        (image.folder / "venv").symlink_to(Path("../layers") / image.layer_key / f"tree{ENVIRONMENT_PATH}")
        content = {
            "id": image.image_id,
            "config": image.config.to_oci(),
            "python": asdict(image.python),
            "packages": packages,
            "layer": image.layer_key,
            "size_bytes": image.size_bytes,
        }
        _write(image.folder / "image.json", content)
        self._complete(image.folder, target)
        kept = self.image(image.image_id)
        assert kept is not None, f"{target} has just been completed"
        return kept

    def _complete(self, folder: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            remove_tree(folder)  # another program has made the same image


def _read(path: Path) -> Any:
    """The JSON document, or None when there is none."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
