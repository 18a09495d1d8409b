"""The site's local AWS: started as a process of its own, and asked over HTTP from then on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3

from stepbridge.cli.local_site.airflow_site import ACCESS_KEY_ID, SECRET_ACCESS_KEY, airflow_environment
from stepbridge.cli.local_site.site import RunningSite, SiteError, SiteSettings

if TYPE_CHECKING:  # every page of help is shown without the local AWS
    from stepbridge_local.processes import ProcessTree

REGION = "us-east-1"
LOCAL_AWS = "local-aws"
"""Its name among the site's processes."""


def start_local_aws(tree: ProcessTree, settings: SiteSettings, say: Callable[[str], None]) -> str:
    """Start the local AWS in ``tree`` and return its address once it answers. Raises LocalAwsError after a minute."""
    from stepbridge_local.cli.endpoint import wait_until_up
    from stepbridge_local.processes import free_port

    port = free_port(settings.aws_port, say)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "stepbridge_local.cli.main", "up"]
    command += ["--port", str(port), "--data-dir", str(settings.aws_data)]
    command += ["--runtime", settings.runtime] if settings.runtime else []
    command += ["--base-image", settings.base_image] if settings.base_image else []
    tree.start(LOCAL_AWS, command, airflow_environment(os.environ) | _build_variables(), settings.project)
    wait_until_up(url, settings.logs / f"{LOCAL_AWS}.log", tree.check)
    say(f"Local AWS: ready on {url}")
    return url


def local_session() -> boto3.Session:
    """A session whose keys are accepted by the local AWS and worth nothing elsewhere."""
    return boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION)


def build_prebuilt_images(site: RunningSite, say: Callable[[str], None]) -> str:
    """Have the local AWS build its stand-in for SageMaker's scikit-learn container; the image's id."""
    from stepbridge_local.cli.endpoint import request_json
    from stepbridge_local.errors import ConfigurationError

    started = time.monotonic()
    try:
        images = request_json("POST", site.aws_endpoint_url, "/_stepbridge/prebuilt-images", timeout_seconds=600)
    except ConfigurationError as error:
        remedy = "see containers/scikit_learn/Dockerfile"
        raise SiteError("scikit-learn image", error.found, "", remedy) from error
    say(f"Image: scikit-learn container ready ({time.monotonic() - started:.1f} s)")
    return str(images["sagemaker-scikit-learn"])


def runtime_of(site: RunningSite) -> str:
    """``process`` or ``docker``: what the site's local AWS runs containers with."""
    from stepbridge_local.cli.endpoint import health_of

    return str(health_of(site.aws_endpoint_url)["runtime"])


def _build_variables() -> dict[str, str]:
    """What an image build needs to reach the package index and a Docker engine as this user does."""
    wanted = ("UV_", "PIP_", "DOCKER_", "SSL_CERT_", "XDG_CACHE_HOME")
    names = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    return {k: v for k, v in os.environ.items() if k.startswith(wanted) or k.upper() in names}
