"""Images that builds make and push into the local ECR."""

from __future__ import annotations

import re

import pytest

from .conftest import IMAGE_BUILD, REGISTRY, Builds, phase, variables

DOCKERFILE = """\
FROM python:3.11
ARG GREETING=none
ENV GREETING=$GREETING
COPY hello.py /app/hello.py
CMD ["python", "/app/hello.py"]
"""


def test_an_image_is_built_and_pushed(builds: Builds) -> None:
    """The image is in ECR under its tag, with the digest that docker push printed."""
    builds.ecr.create_repository(repositoryName=builds.name)
    uri = f"{REGISTRY}/{builds.name}:v1"
    build = builds.run(
        IMAGE_BUILD,
        {"Dockerfile": DOCKERFILE, "hello.py": "print('hi')"},
        environmentVariablesOverride=variables(IMAGE_URI=uri, GREETING='it\'s "me"'),
    )
    assert build["buildStatus"] == "SUCCEEDED", builds.log(build)
    (image,) = builds.ecr.describe_images(repositoryName=builds.name)["imageDetails"]
    assert image["imageTags"] == ["v1"]
    output = builds.output(build)
    assert "Login Succeeded" in output
    (pushed,) = [line for line in output if line.startswith("v1: digest: ")]
    assert re.fullmatch(rf"v1: digest: {image['imageDigest']} size: \d+", pushed)


def test_a_dockerfile_that_cannot_be_honoured_fails_the_build(builds: Builds) -> None:
    """The log tells file, line and instruction; nothing is pushed."""
    builds.ecr.create_repository(repositoryName=builds.name)
    build = builds.run(
        IMAGE_BUILD,
        {"Dockerfile": "FROM python:3.11\nRUN apt-get install -y gcc\n"},
        environmentVariablesOverride=variables(IMAGE_URI=f"{REGISTRY}/{builds.name}:v1", GREETING=""),
    )
    assert build["buildStatus"] == "FAILED"
    assert phase(build, "BUILD")["contexts"][0]["message"].endswith("Reason: exit status 1")
    log = "\n".join(builds.output(build))
    assert "Dockerfile:2" in log
    assert builds.ecr.describe_images(repositoryName=builds.name)["imageDetails"] == []


REFUSED = [
    ("docker images", 125, "docker images: not available in builds of the local AWS"),
    ("docker build --squash .", 125, "unrecognized arguments: --squash"),
    ("docker build --platform linux/arm64 .", 125, "expected linux/amd64"),
    (f"docker push {REGISTRY}/nobody:1", 1, "An image does not exist locally with the tag"),
    (f"echo wrong | docker login --username AWS --password-stdin {REGISTRY}", 1, "400 Bad Request"),
    ("docker login -u me -p secret docker.io", 125, "expected a registry of ECR"),
    ("aws s3 ls", 252, "aws s3 ls: not available in builds of the local AWS"),
    ("aws ecr batch-get-image --repository-name nobody --image-ids imageTag=x", 254, "RepositoryNotFoundException"),
]


@pytest.mark.parametrize(("command", "status", "text"), REFUSED, ids=[row[0][:40] for row in REFUSED])
def test_commands_that_are_refused(builds: Builds, command: str, status: int, text: str) -> None:
    """An unsupported command fails the build with a line that says so."""
    build = builds.run({"build": {"commands": [command]}})
    assert phase(build, "BUILD")["contexts"][0]["message"].endswith(f"Reason: exit status {status}")
    assert text in "\n".join(builds.output(build))


def test_pushing_needs_a_login(builds: Builds) -> None:
    """As with Docker and ECR, an image cannot be pushed before docker login."""
    builds.ecr.create_repository(repositoryName=builds.name)
    uri = f"{REGISTRY}/{builds.name}:v1"
    commands = [f"docker build -t local -f sub/Dockerfile sub && docker tag local:latest {uri}", f"docker push {uri}"]
    build = builds.run({"build": {"commands": commands}}, {"sub/Dockerfile": "FROM python:3.11\n"})
    assert build["buildStatus"] == "FAILED"
    assert "no basic auth credentials" in builds.output(build)
