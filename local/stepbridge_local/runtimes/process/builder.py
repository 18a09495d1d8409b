"""Builds images: first finds and reports all problems, then runs only the steps that have not been run before."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from stepbridge_local.errors import ImageBuildError, Problem
from stepbridge_local.protocols import BuiltImage, ServiceError
from stepbridge_local.runtimes.process.build_context import BuildContext, Source, copied, digest_of, resolve_in_root
from stepbridge_local.runtimes.process.dockerfile.instructions import (
    BaseReference,
    CopyFiles,
    InstallPackages,
    MakeFolder,
    Plan,
    base_of,
    plan_dockerfile,
)
from stepbridge_local.runtimes.process.dockerfile.parser import Dockerfile, parse_dockerfile
from stepbridge_local.runtimes.process.dockerignore import DockerignoreError
from stepbridge_local.runtimes.process.environment_builder import EnvironmentBuilder
from stepbridge_local.runtimes.process.errors import USE_DOCKER, DockerfileError, PythonNotFoundError
from stepbridge_local.runtimes.process.folders import SessionFolder, link_tree, tree_size
from stepbridge_local.runtimes.process.image import (
    ENVIRONMENT_PATH,
    ImageConfig,
    PythonInstallation,
    python_image_config,
)
from stepbridge_local.runtimes.process.image_store import ImageStore, Layer, StoredImage
from stepbridge_local.runtimes.process.python_installation import describe_other, find_python, own_python
from stepbridge_local.runtimes.process.sandbox import host_layout

__all__ = ["ImageBuilder"]

LAYOUT_VERSION: Final = 1  # part of every key: increase it if images of older code no longer run
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass(frozen=True)
class _Base:
    """What an image is built on: a Python of this machine, or an existing image."""

    python: PythonInstallation
    config: ImageConfig
    chain: str
    image: StoredImage | None = None


@dataclass(frozen=True)
class _Preparation:
    """A build that can be done: the plan, the files that each COPY takes, and each step's key in the chain."""

    base: _Base
    plan: Plan
    sources: Mapping[int, list[Source]]
    keys: tuple[str, ...]

    @property
    def chain(self) -> str:
        return self.keys[-1] if self.keys else self.base.chain


class ImageBuilder:
    """Builds images into one store. ``resolve`` turns an image URI into the id of an image in it, for FROM."""

    def __init__(
        self,
        store: ImageStore,
        environments: EnvironmentBuilder,
        environ: Mapping[str, str],
        resolve: Callable[[str], str] | None,
    ) -> None:
        self._store = store
        self._environments = environments
        self._environ = environ
        self._resolve = resolve

    def build(
        self, context: Path, dockerfile: str, build_args: Mapping[str, str], log: Callable[[str], None]
    ) -> BuiltImage:
        """Build ``context/dockerfile``. Raises ImageBuildError; DockerfileError for what cannot be honoured."""
        prepared = self._prepare(context, dockerfile, build_args)
        if prepared.base.config.other_python:
            log(prepared.base.config.other_python)
        for note in prepared.plan.notes:
            log(f"note: {note}")
        layers = self._known_layers(prepared)
        image = None if layers is None else self._store.image(_image_id(prepared, layers[-1]))
        if image is not None:
            log("Nothing has changed since it was built")
        else:
            image = self._make(prepared, dockerfile, log)
        log(f"Built {image.image_id} ({image.size_bytes / 1e6:.1f} MB)")
        return image.as_built()

    # --- preparing ----------------------------------------------------------------------------------------------------
    def _prepare(self, context: Path, dockerfile: str, build_args: Mapping[str, str]) -> _Preparation:
        parsed = _parsed(context, dockerfile)
        base, problems = self._base(parsed, build_args)
        plan, refused = plan_dockerfile(parsed, build_args, base.config)
        try:
            build_context = BuildContext(context, dockerfile)
        except DockerignoreError as error:
            raise DockerfileError(error.source, error.problems) from None
        sources: dict[int, list[Source]] = {}
        for position, step in enumerate(plan.steps):
            if isinstance(step, CopyFiles):
                sources[position], missing = build_context.sources(step)
                problems += missing
        problems += [problem for problem in refused if problem not in problems]
        if problems:
            raise DockerfileError(dockerfile, sorted(problems, key=_line_of))
        return _Preparation(base, plan, sources, tuple(_keys(base.chain, plan, sources)))

    def _base(self, parsed: Dockerfile, build_args: Mapping[str, str]) -> tuple[_Base, list[Problem]]:
        """The base. If it is not available: a placeholder, so that other problems are found too, and the reason."""
        own = own_python()
        placeholder = _Base(own, python_image_config(own.version), "")
        reference = base_of(parsed, build_args)
        if isinstance(reference, Problem):
            return placeholder, [reference]
        where = f"{parsed.source}:{reference.line}: FROM"
        wrong_platform = _platform_problem(reference, where)
        try:
            base = self._image_base(reference, where) if reference.python_version is None else self._python(reference)
        except (PythonNotFoundError, ImageBuildError) as error:
            return placeholder, [Problem(where, f"{reference.image}: {error.found}", error.expected, error.remedy)]
        return base, wrong_platform

    def _python(self, reference: BaseReference) -> _Base:
        wanted = reference.python_version or ""
        python = find_python(wanted, self._environ)
        other = "" if python.is_a(wanted) else f"FROM {reference.image}: {describe_other(wanted, python)}"
        chain = _key("python", LAYOUT_VERSION, asdict(python))
        return _Base(python, python_image_config(python.version, other), chain)

    def _image_base(self, reference: BaseReference, where: str) -> _Base:
        expected = "python:<version>, from any registry, or an image in the local registry"
        if self._resolve is None:
            raise ImageBuildError(where, "an image that this runtime has no Python for", expected, USE_DOCKER)
        try:
            image_id = self._resolve(reference.image)
        except ServiceError as error:
            raise ImageBuildError(where, f"no such image here ({error})", expected, USE_DOCKER) from error
        image = self._store.image(image_id)
        if image is None:
            raise ImageBuildError(where, f"{image_id} is not among the built images", expected, "build it again")
        return _Base(image.python, image.config, _key("image", image.image_id), image)

    def _known_layers(self, prepared: _Preparation) -> list[Layer] | None:
        """The layers of all steps that install, after that of the base; None when one has yet to be image."""
        keys = [prepared.base.image.layer_key if prepared.base.image else prepared.base.chain]
        keys += [
            key
            for key, step in zip(prepared.keys, prepared.plan.steps, strict=True)
            if isinstance(step, InstallPackages)
        ]
        layers = [self._store.layer(key) for key in keys]
        known = [layer for layer in layers if layer is not None]
        return known if len(known) == len(layers) else None

    # --- doing --------------------------------------------------------------------------------------------------------
    def _make(self, prepared: _Preparation, dockerfile: str, log: Callable[[str], None]) -> StoredImage:
        session = SessionFolder(self._store.temporary_folder)
        try:
            folder = session.new("image")
            rootfs = folder / "rootfs"
            layer = self._base_layer(prepared.base, rootfs, log)
            links = host_layout().links
            for position, (step, key) in enumerate(zip(prepared.plan.steps, prepared.keys, strict=True)):
                log(f"Step {position + 1}/{len(prepared.plan.steps)}: {step.text}")
                match step:
                    case CopyFiles():
                        copied(prepared.sources[position], step, rootfs, links)
                    case MakeFolder():
                        resolve_in_root(rootfs, step.path, links).mkdir(parents=True, exist_ok=True)
                    case InstallPackages():
                        layer = self._layer_of(
                            prepared.base, step, key, layer, rootfs, f"{dockerfile}:{step.line}: RUN", log
                        )
            size = tree_size(rootfs) + layer.size_bytes
            image_id = _image_id(prepared, layer)
            image = StoredImage(image_id, folder, layer.key, prepared.plan.config, prepared.base.python, size)
            return self._store.add_image(image, layer.packages)
        finally:
            session.close()

    def _base_layer(self, base: _Base, rootfs: Path, log: Callable[[str], None]) -> Layer:
        """The layer to start from; ``rootfs`` is filled with what the base has."""
        if base.image is None:
            _lay_out_rootfs(rootfs, base.python)
            return self._store.layer(base.chain) or self._environments.python_layer(base.chain, base.python, log)
        link_tree(base.image.rootfs, rootfs)
        layer = self._store.layer(base.image.layer_key)
        if layer is None:
            raise ImageBuildError(base.image.image_id, "its environment is gone", "", "build that image again")
        return layer

    def _layer_of(
        self,
        base: _Base,
        step: InstallPackages,
        key: str,
        below: Layer,
        rootfs: Path,
        where: str,
        log: Callable[[str], None],
    ) -> Layer:
        known = self._store.layer(key)
        if known is not None:
            log("Using the result of an earlier build")
            return known
        return self._environments.installed_layer(key, base.python, below, rootfs, step, where, log)


def _parsed(context: Path, dockerfile: str) -> Dockerfile:
    path = context / dockerfile
    if not path.is_file() or not path.resolve().is_relative_to(context.resolve()):
        raise ImageBuildError(str(path), "no such file in the context", "a Dockerfile", "write one, or name another")
    try:
        return parse_dockerfile(path.read_text("utf-8"), dockerfile)
    except UnicodeDecodeError as error:
        raise ImageBuildError(str(path), f"byte {error.start} is not UTF-8", "UTF-8 text", "save it as such") from error


def _platform_problem(reference: BaseReference, where: str) -> list[Problem]:
    machine = os.uname().machine
    own = f"linux/{_ARCHITECTURES.get(machine, machine)}"
    if not reference.platform or reference.platform == own or reference.platform.startswith(f"{own}/"):
        return []
    return [Problem(where, f"the platform {reference.platform}", f"{own}, this machine's", USE_DOCKER)]


def _lay_out_rootfs(rootfs: Path, python: PythonInstallation) -> None:
    """The commands of the official image at their usual place, leading to the image's environment.

    As scripts: through a link, Python would not find the environment that it belongs to.
    """
    commands = rootfs / "usr/local/bin"
    commands.mkdir(parents=True)
    for name in ("python", "python3", f"python{python.minor_version}", "pip", "pip3"):
        if Path("/usr/local/bin", name) != Path(python.executable):  # to which the environment itself leads
            (commands / name).write_text(f'#!/bin/sh\nexec {ENVIRONMENT_PATH}/bin/{name} "$@"\n')
            (commands / name).chmod(0o755)


def _keys(chain: str, plan: Plan, sources: Mapping[int, list[Source]]) -> list[str]:
    """Each step's key: a digest over the base and all steps up to it, with the content they bring in."""
    keys: list[str] = []
    for position, step in enumerate(plan.steps):
        match step:
            case CopyFiles():
                what: Any = ["copy", step.destination, step.mode, digest_of(sources[position])]
            case MakeFolder():
                what = ["folder", step.path]
            case InstallPackages():
                what = ["install", [asdict(install) for install in step.installs], step.working_dir, step.variables]
        chain = _key(chain, what)
        keys.append(chain)
    return keys


def _image_id(prepared: _Preparation, layer: Layer) -> str:
    return f"sha256:{_key(prepared.chain, prepared.plan.config.to_oci(), layer.packages)}"


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _line_of(problem: Problem) -> int:
    """``Dockerfile:7: RUN`` stands in line 7."""
    return int(problem.where.split(":")[1])
