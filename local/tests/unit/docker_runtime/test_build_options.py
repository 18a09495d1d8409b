"""Reading ``docker build`` and ``docker run`` command lines."""

from __future__ import annotations

import pytest

from stepbridge_local.errors import UnsupportedCommandError
from stepbridge_local.runtimes.docker.build_options import read_build, read_run


def test_every_form_of_an_option() -> None:
    """Values behind a space, an equals sign or a short option; the context may stand anywhere."""
    words = [
        "-tone",
        "--tag",
        "two",
        "--tag=three",
        "--build-arg",
        "A=b=c",
        "--memory",
        "1g",
        ".",
        "--no-cache",
        "-f",
        "D",
    ]
    read = read_build(words, {}, classic=False)
    assert read.tags == ["one", "two", "three"]
    assert read.build_arguments == ["A=b=c"]
    assert read.others == ["--memory=1g", "--no-cache"]
    assert (read.context, read.file) == (".", "D")


@pytest.mark.parametrize(
    ("classic", "others"), [(True, ["--pull"]), (False, ["--load", "--progress=plain", "--pull"])], ids=str
)
def test_what_only_buildkit_knows(classic: bool, others: list[str]) -> None:
    """It is left out where the engine builds without BuildKit."""
    assert read_build(["--load", "--progress", "plain", "--pull", "."], {}, classic).others == others


@pytest.mark.parametrize(
    "words", [["."] * 2, [], ["-"], ["https://host/repository"], ["-f", "-", "."], ["--push", "."], [".", "--tag"]]
)
def test_what_is_refused(words: list[str]) -> None:
    """Contexts that are not a folder, and pushing past ECR's records."""
    with pytest.raises(UnsupportedCommandError):
        read_build(words, {}, classic=True)


def test_an_argument_without_a_value_has_that_of_the_build() -> None:
    """Not that of the local AWS, whose environment no command sees."""
    words = ["--build-arg", "A", "--build-arg", "PATH", "."]
    assert read_build(words, {"A": "1"}, classic=False).build_arguments == ["A=1"]
    assert read_run(["-e", "A", "-eB=2", "--env", "HOME", "x"], {"A": "1"}) == (["--env=A=1", "--env=B=2"], ["x"])


REACHING_OUT = [
    "build --secret=id=x,src=/etc/shadow .",
    "build --ssh default .",
    "build --build-context etc=/etc .",
    "build --allow security.insecure .",
    "build --iidfile /etc/motd .",
    "build --metadata-file=/etc/motd .",
    "build --cache-to type=local,dest=/etc .",
    "build --cache-from type=local,src=/etc .",
    "build --network container:other .",
    "build --security-opt seccomp=unconfined .",
    "build --cgroup-parent / .",
    "build --output type=local,dest=/etc .",
    "build -o /etc .",
    "run -v /:/host x",
    "run --volume=/:/host x",
    "run --mount type=bind,src=/,dst=/host x",
    "run --volumes-from other x",
    "run --privileged x",
    "run --cap-add SYS_ADMIN x",
    "run --device /dev/sda x",
    "run --pid host x",
    "run --pid=host x",
    "run --ipc host x",
    "run --uts host x",
    "run --userns host x",
    "run --cgroupns host x",
    "run --network container:other x",
    "run --security-opt apparmor=unconfined x",
    "run --env-file /etc/shadow x",
    "run --label-file /etc/shadow x",
    "run --cidfile /etc/motd x",
    "run --gpus all x",
    "run --runtime other x",
    "run --rm -it -v /:/host x",
    "run -itv /:/host x",
    "run -d x",
]


@pytest.mark.parametrize("line", REACHING_OUT)
def test_no_option_reaches_out_of_the_sandbox(line: str) -> None:
    """The program runs on this machine: no file of it is read or written, and no container gets powers over it."""
    command, *words = line.split()
    with pytest.raises(UnsupportedCommandError) as caught:
        (read_build(words, {}, classic=False) if command == "build" else read_run(words, {}))
    assert f"docker {command} -" in str(caught.value)


def test_docker_run_of_an_image() -> None:
    """Its options, and what belongs to the command of the container."""
    words = ["--rm", "-it", "--entrypoint", "sh", "--network=none", "image:1", "-c", "echo --privileged"]
    options = ["--rm", "-it", "--entrypoint=sh", "--network=none"]
    assert read_run(words, {}) == (options, ["image:1", "-c", "echo --privileged"])
