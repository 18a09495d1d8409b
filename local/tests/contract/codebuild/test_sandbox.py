"""The commands of builds reach nothing of this machine, whichever way they ask."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from stepbridge_local.errors import UnsupportedCommandError
from stepbridge_local.services.codebuild.sent_files import receive
from stepbridge_local.testing import LocalAwsProcess

from .conftest import IMAGE_BUILD, REGISTRY, Builds, phase, variables

LOOK = "cat /proc/*/environ | tr '\\0' '\\n'; ls -a ~ /tmp; ls {path} /etc/shadow; echo user $(id -u) in $PWD"


def test_a_build_sees_nothing_of_this_machine(builds: Builds, local_aws: LocalAwsProcess, tmp_path: Path) -> None:
    """Neither files, nor the environment of the local AWS."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    build = builds.run({"build": {"commands": [LOOK.format(path=f"{secret} {local_aws.data_dir}")]}})
    assert build["buildStatus"] == "SUCCEEDED", builds.log(build)
    output = "\n".join(builds.output(build))
    assert "PYTEST_CURRENT_TEST" not in output
    assert f"VIRTUAL_ENV={os.environ.get('VIRTUAL_ENV', 'none')}" not in output
    for path in (secret, local_aws.data_dir, "/etc/shadow"):
        assert f"cannot access '{path}'" in output
    assert "\nuser 0 in /codebuild/output/src" in output


START_BUILD = """
import json, urllib.request
buildspec = "version: 0.2\\nphases: {{build: {{commands: ['{look}']}}}}"
headers = {{
    "X-Amz-Target": "CodeBuild_20161006.StartBuild",
    "Content-Type": "application/x-amz-json-1.1",
    "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/codebuild/aws4_request, Signature=x",
}}
body = json.dumps({{"projectName": "{project}", "buildspecOverride": buildspec}}).encode()
with urllib.request.urlopen(urllib.request.Request("{endpoint}", body, headers)) as answer:
    print("STARTED", json.load(answer)["build"]["id"])
"""


def test_a_build_that_starts_a_build_gets_another_sandbox(
    builds: Builds, local_aws: LocalAwsProcess, tmp_path: Path
) -> None:
    """What runs in a sandbox may call CodeBuild like anybody, and gets no shell outside by it."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    program = START_BUILD.format(endpoint=local_aws.endpoint_url, project=builds.name, look=f"ls {secret} || echo none")
    build = builds.run({"build": {"commands": ["python3 start.py"]}}, {"start.py": program})
    (started,) = [line for line in builds.output(build) if line.startswith("STARTED")]
    second = builds.end(started.split()[1])
    assert second["buildStatus"] == "SUCCEEDED", builds.log(second)
    assert "none" in builds.output(second)


@pytest.mark.parametrize("buildspec", ["/etc/passwd.yml", "../../../etc/passwd", "a/../../x.yml"])
def test_a_buildspec_is_a_file_of_the_source(builds: Builds, buildspec: str) -> None:
    """The local AWS reads it itself, and no other file of this machine."""
    build = builds.run(buildspec)
    assert build["buildStatus"] == "FAILED"
    assert "leads out of the source folder" in phase(build, "DOWNLOAD_SOURCE")["contexts"][0]["message"]


@pytest.mark.parametrize("where", ["context", "file", "copied"])
def test_docker_build_reads_the_files_of_the_sandbox(builds: Builds, tmp_path: Path, where: str) -> None:
    """A context, a Dockerfile or a file that is a link to one of this machine's is not there."""
    builds.ecr.create_repository(repositoryName=builds.name)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "Dockerfile").write_text("FROM python:3.11\nCOPY Dockerfile /x\n")
    link = {
        "context": f"ln -s {secret} context",
        "file": f"mkdir context; ln -s {secret}/Dockerfile context/Dockerfile",
        "copied": f"mkdir context; cp Dockerfile context; ln -s {secret}/Dockerfile context/other",
    }
    build = builds.run(
        {"build": {"commands": [link[where], "docker build context"]}},
        {"Dockerfile": "FROM python:3.11\nCOPY other /x\n"},
    )
    assert build["buildStatus"] == "FAILED"
    expected = {
        "context": "path 'context' not found",
        "file": "no such file",
        "copied": "a symbolic link to outside of the context",
    }
    assert expected[where] in "\n".join(builds.output(build)), builds.output(build)


def test_a_context_comes_with_its_modes_links_and_names(builds: Builds) -> None:
    """What docker build sends is what the build has: executables, links within it, folders, names with spaces."""
    builds.ecr.create_repository(repositoryName=builds.name)
    dockerfile = "FROM python:3.11\nCOPY . /app/\n"
    build = builds.run(
        {
            "pre_build": IMAGE_BUILD["pre_build"],
            "build": {
                "commands": [
                    "mkdir -p 'a b/c' empty && ln -s run.sh link && ln run.sh hard && touch 'a b/c/é'",
                    'cd "a b" && docker build -t "$IMAGE_URI" -f ../Dockerfile .. && docker push "$IMAGE_URI"',
                ]
            },
        },
        {"Dockerfile": dockerfile, "run.sh": "#!/bin/sh\necho ran\n"},
        environmentVariablesOverride=variables(IMAGE_URI=f"{REGISTRY}/{builds.name}:v1"),
    )
    assert build["buildStatus"] == "SUCCEEDED", builds.log(build)


# --- what is sent over the socket is not trusted ----------------------------------------------------------------------
def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return written.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, target, 0o4777
    return member


def sent(content: bytes) -> io.BytesIO:
    return io.BytesIO(b"%d\n" % len(content) + content + b"0\n")


@pytest.mark.parametrize(
    "members",
    [
        [(entry("../out"), b"x")],
        [(entry("/tmp/out"), b"x")],
        [(entry("a/../../out"), b"x")],
        [(entry("a", tarfile.SYMTYPE, ".."), b""), (entry("a/out"), b"x")],
        [(entry("a", tarfile.SYMTYPE, "/etc"), b""), (entry("a"), b"x")],
        [(entry("a"), b"x"), (entry("a/b"), b"x")],
    ],
    ids=["parent", "absolute", "dots", "through a link", "over a link", "below a file"],
)
def test_nothing_outside_is_written(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """Whatever an archive names."""
    with pytest.raises((UnsupportedCommandError, OSError)):
        receive(sent(archive((entry(".", tarfile.DIRTYPE), b""), *members)), tmp_path / "inside", "context")
    assert not (tmp_path / "out").exists()
    assert not Path("/tmp/out").exists()


def test_devices_pipes_and_hard_links_are_left_out_and_no_file_runs_as_its_owner(tmp_path: Path) -> None:
    """Only files, folders and symbolic links come, without set-user-id."""
    members = [
        (entry(".", tarfile.DIRTYPE), b""),
        (entry("device", tarfile.CHRTYPE), b""),
        (entry("pipe", tarfile.FIFOTYPE), b""),
        (entry("hard", tarfile.LNKTYPE, "/etc/passwd"), b""),
        (entry("file"), b"x"),
    ]
    folder = receive(sent(archive(*members)), tmp_path / "inside", "context")
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").stat().st_mode & 0o7777 == 0o777


@pytest.mark.parametrize("content", [b"", b"5\nab", b"x\n", b"99999999999999999\n", b"512\n" + b"\1" * 512 + b"0\n"])
def test_what_broke_off_is_an_error(tmp_path: Path, content: bytes) -> None:
    """It is not taken for a folder."""
    with pytest.raises(OSError):
        receive(io.BytesIO(content), tmp_path / "inside", "context")
    with pytest.raises(FileNotFoundError):
        receive(io.BytesIO(b"0\n"), tmp_path / "nothing", "context")
