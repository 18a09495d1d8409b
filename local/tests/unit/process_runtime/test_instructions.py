"""The plan for a Dockerfile, and what is refused in it."""

from __future__ import annotations

import pytest

from stepbridge_local.errors import Problem
from stepbridge_local.runtimes.process.dockerfile.instructions import (
    BaseReference,
    CopyFiles,
    InstallPackages,
    MakeFolder,
    Plan,
    base_of,
    plan_dockerfile,
)
from stepbridge_local.runtimes.process.dockerfile.parser import parse_dockerfile
from stepbridge_local.runtimes.process.dockerfile.pip_command import PipInstall
from stepbridge_local.runtimes.process.errors import USE_DOCKER
from stepbridge_local.runtimes.process.image import ImageConfig, command_of, python_image_config


def planned(text: str, **build_args: str) -> Plan:
    plan, problems = plan_dockerfile(parse_dockerfile(text, "Dockerfile"), build_args, python_image_config("3.11.7"))
    assert problems == ()
    return plan


def refused(text: str) -> list[str]:
    _, problems = plan_dockerfile(parse_dockerfile(text, "Dockerfile"), {}, ImageConfig())
    return [str(problem) for problem in problems]


# --- FROM -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("python:3.11", "3.11"),
        ("python:3.11.7-slim-bookworm", "3.11.7"),
        ("python", ""),
        ("python:latest", ""),
        ("python:3-slim", "3"),
        ("python:3.13rc1", "3.13"),
        ("public.ecr.aws/docker/library/python:3.12-slim", "3.12"),
        ("localhost:5000/python:3.12@sha256:abc", "3.12"),
        ("python:${VERSION}-slim AS base", "3.12"),
    ],
)
def test_any_image_called_python_is_a_python_of_that_version(image: str, version: str) -> None:
    """Whatever registry it comes from."""
    reference = base_of(parse_dockerfile(f"ARG VERSION=3.12\nFROM {image}", "Dockerfile"), {})
    assert isinstance(reference, BaseReference)
    assert (reference.python_version, reference.line) == (version, 2)


def test_a_build_argument_replaces_the_default_in_from() -> None:
    """``ARG`` before ``FROM``."""
    reference = base_of(parse_dockerfile("ARG V=3.9\nFROM python:$V", "Dockerfile"), {"V": "3.10"})
    assert isinstance(reference, BaseReference)
    assert reference.image == "python:3.10"


def test_other_images_are_left_to_the_registry() -> None:
    """And keep their whole name."""
    text = "FROM 1.dkr.ecr.us-east-1.amazonaws.com/models:x"
    assert base_of(parse_dockerfile(text, "Dockerfile"), {}) == BaseReference(text.removeprefix("FROM "), 1, None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "Dockerfile:1: no FROM"),
        ("FROM", "Dockerfile:1: FROM: ''"),
        ("\nFROM python AS", "Dockerfile:2: FROM: 'python AS'"),
        ("FROM python:bookworm", "Dockerfile:1: FROM: the tag bookworm"),
        ("FROM --security=x python", "Dockerfile:1: FROM: the option --security"),
        ("FROM python:${V#x}", "Dockerfile:1: FROM: the substitution"),
    ],
)
def test_a_from_that_names_no_image(text: str, found: str) -> None:
    """Is a problem with its line."""
    problem = base_of(parse_dockerfile(text, "Dockerfile"), {})
    assert isinstance(problem, Problem)
    assert str(problem).startswith(found)


# --- the plan ---------------------------------------------------------------------------------------------------------
def test_a_whole_dockerfile() -> None:
    """Steps in order, and the configuration that comes of it."""
    plan = planned(
        "FROM python:3.11-slim\n"
        'ARG TARGET=/opt/program\nENV HOME_OF=$TARGET GREETING="hello world"\n'
        "WORKDIR /opt\nWORKDIR program\n"
        "COPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY --chmod=755 a.py b/ $TARGET/code/\n"
        "LABEL owner=me\nEXPOSE 8080 53/udp\n"
        'ENTRYPOINT ["python", "predict.py"]\nCMD ["x"]\n'
    )
    own = {"TARGET": "/opt/program", "HOME_OF": "/opt/program", "GREETING": "hello world"}
    variables = tuple(sorted({**dict(python_image_config("3.11.7").env), **own}.items()))
    assert plan.steps == (
        MakeFolder(4, "WORKDIR /opt", "/opt"),
        MakeFolder(5, "WORKDIR program", "/opt/program"),
        CopyFiles(6, "COPY requirements.txt .", ("requirements.txt",), "/opt/program/"),
        InstallPackages(
            7,
            "RUN pip install -r requirements.txt",
            (PipInstall(("--requirements", "requirements.txt")),),
            "/opt/program",
            variables,
        ),
        CopyFiles(8, "COPY --chmod=755 a.py b/ $TARGET/code/", ("a.py", "b/"), "/opt/program/code/", 0o755),
    )
    assert plan.config == ImageConfig(
        env=(*python_image_config("3.11.7").env, ("HOME_OF", "/opt/program"), ("GREETING", "hello world")),
        entrypoint=("python", "predict.py"),
        cmd=("x",),
        working_dir="/opt/program",
        labels=(("owner", "me"),),
        exposed_ports=("8080/tcp", "53/udp"),
    )
    assert ImageConfig.from_oci(plan.config.to_oci()) == plan.config


def test_env_sees_what_was_set_before_its_own_line() -> None:
    """And the old form takes the rest of the line."""
    plan = planned("FROM python\nENV A=1\nENV A=2 B=$A\nENV C the rest of $B\nENV PATH=/x:$PATH")
    env = dict(plan.config.env)
    assert (env["A"], env["B"], env["C"]) == ("2", "1", "the rest of 1")
    assert env["PATH"].startswith("/x:/opt/venv/bin:")


def test_scopes_of_arg() -> None:
    """An ARG before FROM is seen where it is declared again; ENV wins over ARG, build arguments over defaults."""
    text = "ARG G=global\nFROM python\nENV A=$G\nARG G\nARG D=default\nARG N\nENV B=$G C=$D D=env\nENV E=$D F=$N"
    env = dict(planned(text, D="given").config.env)
    assert [env[name] for name in "ABCDEF"] == ["", "global", "given", "env", "env", ""]


def test_build_arguments_that_nothing_takes_are_noted() -> None:
    """As Docker warns of them; proxies are taken without ARG."""
    plan = planned("FROM python", HTTP_PROXY="http://p", MODEL="x")
    assert plan.notes == ("no ARG takes the build arguments MODEL",)


def test_entrypoint_puts_aside_the_base_images_command_only() -> None:
    """A CMD of the same file stays, wherever it stands."""
    assert planned('FROM python\nENTRYPOINT ["a"]').config.cmd is None
    assert planned('FROM python\nCMD ["x"]\nENTRYPOINT ["a"]').config.cmd == ("x",)
    assert planned("FROM python").config.cmd == ("python3",)
    assert planned("FROM python\nCMD python x.py $A").config.cmd == ("/bin/sh", "-c", "python x.py $A")


def test_what_is_accepted_and_changes_nothing_is_noted() -> None:
    """Nothing is ignored silently."""
    plan = planned("FROM python\nCOPY --chown=me:me --link a /a\nUSER 1000:1000\nUSER root")
    assert [note.split(": ")[0] for note in plan.notes] == ["Dockerfile:2", "Dockerfile:3"]
    assert plan.config.user == "root"


def test_all_refusals_at_once_by_file_line_and_instruction() -> None:
    """Each with what to do instead."""
    texts = refused(
        "FROM python:3.11 AS build\n"
        "RUN apt-get update && apt-get install -y libgomp1\n"
        'SHELL ["/bin/bash"]\n'
        "ADD https://x/y /y\n"
        "FROM python:3.11\n"
        "COPY --from=build /x /y\n"
        "HEALTHCHECK CMD true\n"
        "COPY model.pkl /opt/ml/model/\n"
        "RUN <<EOF\necho\nEOF\n"
        "COPY a b /x\n"
        "CMD ['python']\n"
        "VOLUME /data\n"
    )
    assert [text.split(": ")[0] + ": " + text.split(": ")[1] for text in texts] == [
        "Dockerfile:2: RUN",
        "Dockerfile:3: SHELL",
        "Dockerfile:4: ADD",
        "Dockerfile:5: FROM",
        "Dockerfile:6: COPY",
        "Dockerfile:7: HEALTHCHECK",
        "Dockerfile:8: COPY",
        "Dockerfile:9: RUN",
        "Dockerfile:12: COPY",
        "Dockerfile:13: CMD",
        "Dockerfile:14: VOLUME",
    ]
    assert "apt-get update" in texts[0]
    assert all("--runtime docker" in text for text in texts[:6])
    assert "SageMaker reserves" in texts[6]


@pytest.mark.parametrize(
    ("lines", "way"),
    [
        ("RUN <<END\npip install x\nEND", "put it into one, which COPY brings"),
        ("COPY <<END /a\ntext\nEND", "put it into one, which COPY brings"),
        ("COPY --chmod=u+x a b", "write it so"),
        ("RUN --mount=type=secret,id=x pip install y", "--runtime docker"),
        ("COPY --parents a b", "--runtime docker"),
    ],
)
def test_what_buildkit_alone_knows_is_refused_with_a_way(lines: str, way: str) -> None:
    """And so that preflight counts it as a refusal of the process runtime alone."""
    (text,) = refused(f"FROM python\n{lines}")
    assert way in text
    assert USE_DOCKER in text


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("COPY a", "'a'"),
        ("COPY ../a /a && x", "several sources"),
        ("COPY --chmod=u+x a b", "the option --chmod=u+x"),
        ("COPY a /proc/x", "/proc/x as destination"),
        ("COPY a /opt/venv/lib/", "/opt/venv/lib as destination"),
        ("ENV A", "'A'"),
        ("ENV A=1 B", "'B'"),
        ("LABEL", "''"),
        ("ENTRYPOINT", "no command"),
        ("ONBUILD RUN x", "an instruction that the process runtime does not honour"),
        ("RUN --network=none pip install x", "the option --network=none"),
        ("FRM python", "an instruction that Docker does not know either"),
    ],
)
def test_single_refusals(line: str, found: str) -> None:
    """Name what was found."""
    (text,) = refused(f"FROM python\n{line}")
    assert text.startswith(f"Dockerfile:2: {line.split()[0]}: {found}")


def test_nothing_but_arg_stands_before_from() -> None:
    """As in Docker."""
    assert refused("ENV A=1\nFROM python")[0].startswith("Dockerfile:1: ENV: it stands before FROM")


# --- docker run -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("entrypoint", "arguments", "command"),
    [
        (None, None, ("image-entry", "image-cmd")),
        (["e"], None, ("e",)),
        (["e"], ["a"], ("e", "a")),
        (None, ["a"], ("image-entry", "a")),
    ],
)
def test_the_command_is_that_of_docker_run(
    entrypoint: list[str] | None, arguments: list[str] | None, command: tuple[str, ...]
) -> None:
    """An entrypoint puts ENTRYPOINT and CMD aside, arguments alone replace CMD."""
    config = ImageConfig(entrypoint=("image-entry",), cmd=("image-cmd",))
    assert command_of(config, entrypoint, arguments) == command
    assert command_of(ImageConfig(), None, None) == ()
