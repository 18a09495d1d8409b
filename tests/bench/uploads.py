"""A fresh checkout of scripts and image that AWS has already: ours beside the AWS CLI and boto3."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uv

from tests.bench.calls import Calls
from tests.bench.figures import Spread, Table, interleaved
from tests.bench.servers import REGION, Server, client_of, local_aws

__all__ = ["uploads"]

AWS_CLI: Final = "awscli==1.46.3"
FILES: Final = 200
BUCKET: Final = "bench"
REPOSITORY: Final = "bench"
ACCOUNT: Final = "123456789012"


def uploads(folder: Path, runs: int) -> Table:
    """Seconds and requests when nothing has changed but the files' times, as a clone or a container leaves them."""
    scripts, context = _scripts(folder / "scripts"), _context(folder / "context")
    calls = Calls().install()
    with local_aws(folder / "local-aws") as server:
        _connect(server)
        client_of(server, "s3").create_bucket(Bucket=BUCKET)
        _push_image(server, context)
        ways: dict[str, Callable[[], object]] = {
            "upload_scripts": lambda: _upload_scripts(server, scripts),
            "boto3, every file": lambda: _boto3_upload(server, scripts),
            "build_image": lambda: _build_image(server, context),
        }
        command = _aws_cli(folder)
        if command:
            ways["aws s3 sync (a process)"] = lambda: _sync(command, server, scripts)
        spreads = interleaved(runs, {name: _timed(way, (scripts, context)) for name, way in ways.items()})
        sent = {name: _requests(way, calls, (scripts, context)) for name, way in ways.items()}
        if command:
            sent["aws s3 sync (a process)"] = _synced_files(command, server, scripts)
    return _table(spreads, sent, runs, bool(command))


def _table(spreads: dict[str, Spread], sent: dict[str, int], runs: int, has_cli: bool) -> Table:
    base = spreads["upload_scripts"].median
    rows = []
    for name, spread in spreads.items():
        ratio = "-" if name == "build_image" else f"{spread.median / base:.1f}"
        rows.append([name, spread.shown(), ratio, str(sent[name])])
    notes = [
        f"{FILES} scripts of 2 KB; every turn gives them new times, with the same content; {runs} turns",
        "upload_scripts and build_image include hook, session and clients, as in a task; not the worker's own start",
        "build_image: digest of a context of 200 files, and a question to ECR; the provider builds no images",
    ]
    if has_cli:
        notes.append(
            "aws s3 sync is a whole process, its start included; its requests are its uploads, without listings"
        )
    else:
        notes.append(f"aws s3 sync was not measured: {AWS_CLI} could not be installed")
    values = {name: vars(spread) | {"requests": sent[name]} for name, spread in spreads.items()}
    return Table(
        "Nothing has changed", ("what", "seconds: median (least to most)", "ratio", "requests"), rows, notes, values
    )


def _scripts(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(FILES - 2):
        (folder / f"module_{number:03d}.py").write_text(f"# {number}\n" * 400)
    for stage in ("preprocessing", "postprocessing"):
        (folder / f"{stage}.py").write_text("print('nothing')\n")
    return folder


def _context(folder: Path) -> Path:
    context = _scripts(folder)
    (context / "Dockerfile").write_text("FROM python:3.11-slim\nCOPY . .\n")
    return context


def _timed(way: Callable[[], object], folders: tuple[Path, ...]) -> Callable[[], float]:
    def seconds() -> float:
        _touch(folders)
        began = time.perf_counter()
        way()
        return time.perf_counter() - began

    return seconds


def _touch(folders: tuple[Path, ...]) -> None:
    for folder in folders:
        for file in folder.iterdir():
            os.utime(file)


def _requests(way: Callable[[], object], calls: Calls, folders: tuple[Path, ...]) -> int:
    _touch(folders)
    calls.clear()
    way()
    return sum(calls.sent.values())


# --- ours -------------------------------------------------------------------------------------------------------------
def _connect(server: Server) -> None:
    extra = {"region_name": REGION, "endpoint_url": server.url}
    connection = {"conn_type": "aws", "login": "local", "password": "local", "extra": extra}
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(connection)


def _deployment(server: Server) -> dict[str, Any]:
    return {
        "account_id": ACCOUNT,
        "region": REGION,
        "bucket": BUCKET,
        "state_machine_arn": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:bench",
        "processing_role_arn": f"arn:aws:iam::{ACCOUNT}:role/bench",
        "codebuild_project": "bench",
        "repository_name": REPOSITORY,
        "repository_uri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}",
        "scikit_image_uri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/scikit:1",
        "stack_name": "bench",
        "endpoint_url": server.url,
    }


def _upload_scripts(server: Server, scripts: Path) -> object:
    from stepbridge.operators.upload_scripts import UploadScriptsOperator

    operator = UploadScriptsOperator(
        task_id="upload_scripts",
        model="bench",
        scripts_folder=scripts,
        deployment=_deployment(server),
        stages=("preprocessing", "postprocessing"),
    )
    return operator.execute(_context_of(operator))


def _build_image(server: Server, context: Path) -> object:
    from stepbridge.operators.build_image import BuildImageOperator

    operator = BuildImageOperator(
        task_id="build_image",
        model="bench",
        context_folder=context,
        deployment=_deployment(server),
        stages=("inference",),
    )
    pinned = operator.execute(_context_of(operator))
    if not pinned:
        raise RuntimeError("the image is not there")
    return pinned


def _context_of(operator: object) -> Any:
    """What the operators ask of a task's context once their stages are given."""
    return {"ti": _TaskInstance(), "task": operator}


class _TaskInstance:
    def xcom_push(self, key: str, value: object) -> None:
        """Keep nothing: where XComs go is Airflow's time, not the operators'."""


def _push_image(server: Server, context: Path) -> None:
    """An image under the tag that the context's digest makes, as an earlier build would have left it."""
    from stepbridge.core.names import image_tag
    from stepbridge.images.build_context import build_context, entries_of
    from stepbridge.images.digest import image_digest

    tag = image_tag("bench", image_digest(entries_of(build_context(context, "Dockerfile")), "Dockerfile", {}))
    ecr = client_of(server, "ecr")
    ecr.create_repository(repositoryName=REPOSITORY)
    ecr.put_image(repositoryName=REPOSITORY, imageTag=tag, imageManifest=json.dumps(_manifest()))


def _manifest() -> dict[str, Any]:
    """A manifest of an image without layers."""
    configuration = b"{}"
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": len(configuration),
            "digest": f"sha256:{hashlib.sha256(configuration).hexdigest()}",
        },
        "layers": [],
    }


# --- what people use otherwise ----------------------------------------------------------------------------------------
def _boto3_upload(server: Server, scripts: Path) -> object:
    client = client_of(server, "s3")
    for file in sorted(scripts.iterdir()):
        client.upload_file(str(file), BUCKET, f"boto3/{file.name}")
    return client


def _aws_cli(folder: Path) -> Path | None:
    """The ``aws`` command in an environment of its own; None where the package index cannot be reached."""
    program, home = uv.find_uv_bin(), folder / "aws-cli"
    subprocess.run([program, "venv", "--quiet", str(home)], check=True)
    command = [program, "pip", "install", "--quiet", "--python", str(home), AWS_CLI]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    return home / "bin" / "aws" if installed.returncode == 0 else None


def _sync(command: Path, server: Server, scripts: Path) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(command.parent),
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
    }
    arguments = [str(command), "s3", "sync", str(scripts), f"s3://{BUCKET}/sync/", "--no-progress"]
    return subprocess.run(arguments, env=environment, check=True, capture_output=True, text=True).stdout


def _synced_files(command: Path, server: Server, scripts: Path) -> int:
    _touch((scripts,))
    return _sync(command, server, scripts).count("upload: ")
