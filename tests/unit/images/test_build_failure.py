"""What a failed image build says."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from airflow.sdk import RetryAction

from stepbridge.errors import BrokenImageError
from stepbridge.images.build_failure import (
    BUILD_BEGINS,
    SCRIPT_BEGINS,
    CommandOutput,
    build_failure,
    cause_in,
    hint_for,
)
from stepbridge.operators.retry_policy import decide

STACK = Path(__file__).parents[3] / "infra" / "stack.yaml"

REASON = "COMMAND_EXECUTION_ERROR: Error while executing command: docker build. Reason: exit status 137"


def test_the_text_has_phase_exit_code_advice_and_the_last_fifty_lines() -> None:
    """Exit code 137 alone says nothing to most people."""
    error = build_failure("p:1", "FAILED", "BUILD", REASON, [f"line {number}" for number in range(60)])
    text = str(error)
    assert "image build p:1: line 59 (FAILED in phase BUILD with exit code 137)" in text
    assert "out of memory" in text
    assert "docker build" not in text
    assert text.splitlines()[-1] == "line 59"
    assert "line 10\n" in text
    assert "line 9\n" not in text


def test_it_survives_pickling() -> None:
    """Airflow pickles exceptions between processes."""
    error = build_failure("p:1", "FAILED", "BUILD", REASON, ["one", "two"])
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.exit_code, copy.log_lines) == (str(error), 137, ("one", "two"))


@pytest.mark.parametrize(
    ("line", "advice", "again"),
    [
        ('process "/bin/sh -c pip install" did not complete successfully: exit code: 137', "out of memory", True),
        ("toomanyrequests: You have reached your pull rate limit", "public.ecr.aws", True),
        ("write /var/lib: no space left on device", "larger compute type", True),
        ("tag invalid: The image tag 'x' already exists and cannot be overwritten because the repository is immutable",
         "another build", True),
        ("dial tcp: lookup registry-1.docker.io: Temporary failure in name resolution", "did not answer", True),
        ("WARNING: Retrying after connection broken by 'ReadTimeoutError'", "did not answer", True),
        ("error: Failed to fetch: `https://pypi.org/simple/pandas/`", "did not answer", True),
        ("received unexpected HTTP status: 503 Service Unavailable", "did not answer", True),
        ("ERROR: No matching distribution found for pandas==99", "requirements.txt", False),
        ("  ╰─▶ Because nosuch was not found in the package registry and you require nosuch, we can conclude that",
         "requirements.txt", False),
        ("  x No solution found when resolving dependencies:", "requirements.txt", False),
        ("COPY failed: file not found in build context", ".dockerignore", False),
        ('ERROR: failed to solve: failed to compute cache key: "/nothing.txt": not found', ".dockerignore", False),
    ],
)  # fmt: skip
def test_known_causes_have_their_remedy(line: str, advice: str, again: bool) -> None:
    """The log's line decides, also whether the same build may succeed later."""
    found, may_succeed = hint_for(1, ["before", line, "after"])
    assert advice in found
    assert may_succeed is again
    error = build_failure("p:1", "FAILED", "BUILD", "", ["before", line, "after"])
    assert isinstance(error, BrokenImageError) is not again
    assert str(error).startswith(f"image build p:1: {line.strip()} (FAILED in phase BUILD)")
    assert error.remedy.count("clear build_image and the tasks after it") == 1


def test_a_package_that_was_not_found_because_nobody_answered() -> None:
    """pip says in the end that there is no such package, whatever the reason."""
    lines = ["WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'",
             "ERROR: No matching distribution found for pandas"]  # fmt: skip
    assert hint_for(1, lines)[1]


@pytest.mark.parametrize(
    ("status", "phase", "broken"),
    [
        ("FAILED", "BUILD", True),
        ("FAILED", "PRE_BUILD", True),
        ("FAILED", "DOWNLOAD_SOURCE", False),
        ("FAILED", "PROVISIONING", False),
        ("STOPPED", "BUILD", False),
        ("TIMED_OUT", "BUILD", False),
        ("FAULT", "BUILD", False),
    ],
)
def test_what_was_interrupted_is_tried_again(status: str, phase: str, broken: bool) -> None:
    """A build that failed by its own commands is not."""
    error = build_failure("p:1", status, phase, "", ["make: *** [all] Error 1"])
    assert isinstance(error, BrokenImageError) is broken
    decision = decide(error)
    assert (decision.action is RetryAction.FAIL) is broken


UV = """error: No solution found when resolving dependencies
  cause: Because requests==2.31.0 depends on urllib3>=1.21.1 and you require requests==2.31.0, and
         because you require urllib3==1.20, we can conclude that your requirements are unsatisfiable.
ERROR: failed to build: Dockerfile:3: RUN"""
OLDER_UV = """  x No solution found when resolving dependencies:
  ╰─▶ Because requests==2.31.0 depends on urllib3>=1.21.1 and you require
      urllib3==1.20, we can conclude that your requirements are unsatisfiable."""
PIP = """ERROR: Cannot install requests==2.31.0, urllib3==1.20 because these have conflicting dependencies.

The conflict is caused by:
    The user requested urllib3==1.20
    requests 2.31.0 depends on urllib3>=1.21.1
ERROR: ResolutionImpossible: for help visit the documentation"""


@pytest.mark.parametrize("log", [UV, OLDER_UV, PIP])
def test_requirements_that_exclude_each_other(log: str) -> None:
    """Both of them are named, and that they exist is not doubted."""
    error = build_failure("p:1", "FAILED", "BUILD", "Reason: exit status 1", log.splitlines())
    assert "requests==2.31.0" in error.summary
    assert "urllib3==1.20" in error.summary
    assert "some requirements exclude each other: loosen or remove a version in requirements.txt" in error.summary
    assert "No solution found" not in error.summary


def test_a_file_that_a_requirements_file_includes_is_named() -> None:
    """uv names it in its second line."""
    log = [
        "error: Error parsing included file in `requirements.txt` at position 0",
        "  cause: failed to read from file `/other.txt`: No such file or directory (os error 2)",
    ]
    assert "/other.txt" in build_failure("p:1", "FAILED", "BUILD", "Reason: exit status 2", log).summary


def test_an_unknown_cause_leads_to_the_log() -> None:
    """No guess is made: of several lines the last error, else the last line."""
    lines = ["error: in a function", "ERROR: failed to build", "note: bye"]
    error = build_failure("p:1", "FAILED", "BUILD", "", lines)
    assert error.summary.startswith(
        "image build p:1: ERROR: failed to build (FAILED in phase BUILD); correct what it names"
    )
    assert cause_in(["make: error", ""]) == "make: error"
    assert "(the build wrote no log)" in str(build_failure("p:1", "TIMED_OUT", "QUEUED", "", []))
    assert build_failure("p:1", "FAILED", "BUILD", "no code here", []).exit_code is None


def test_the_buildspec_s_own_lines_are_left_out() -> None:
    """CodeBuild prints the whole script before it runs it; docker's output begins behind a line of its own."""
    shown: list[str] = []
    output = CommandOutput(shown.append)
    for line in [
        "[Container] Entering phase PRE_BUILD",
        "[Container] Running command set -eu",
        ': "${IMAGE_TAG:?expected the tag}"',
        f'  print("{BUILD_BEGINS}", flush=True)',
        "Login Succeeded",
        BUILD_BEGINS,
        "Step 1/2",
        "[Container] 2026/11/22 13:36:58.9 Command did not exit successfully set -eu",
        ': "${IMAGE_TAG:?expected the tag}"',
        "[Container] 2026/11/22 13:36:58.9 Phase complete: BUILD State: FAILED",
    ]:
        output.add(line)
    assert [*output.lines] == ["Step 1/2"]
    assert shown == ["[Container] Entering phase PRE_BUILD", "[Container] Running command set -eu", "Step 1/2"]
    assert BUILD_BEGINS in STACK.read_text()
    assert re.search(rf"set -eu\n\s*{re.escape(SCRIPT_BEGINS)}", STACK.read_text())


def test_all_lines_of_another_buildspec_are_shown() -> None:
    """A project that the stack did not make prints no line of ours."""
    shown: list[str] = []
    output = CommandOutput(shown.append)
    lines = ["[Container] Running command docker build .", "Step 1/2", "[Container] Phase complete: BUILD"]
    for line in lines:
        output.add(line)
    assert shown == [*output.lines] == lines


def test_codebuild_s_last_lines_do_not_push_out_the_command_s_output() -> None:
    """It repeats the failed script and logs the phases that follow."""
    output = CommandOutput(lambda _: None)
    for line in [
        "[Container] 2026/11/22 13:36:57.1 Running command set -eu",
        "Dockerfile:2: RUN apt-get: not found",
        "[Container] 2026/11/22 13:36:58.9 Command did not exit successfully set -eu",
        *(f"script line {number}" for number in range(60)),
        "[Container] 2026/11/22 13:36:58.9 Phase complete: BUILD State: FAILED",
    ]:
        output.add(line)
    assert output.lines[-1] == "Dockerfile:2: RUN apt-get: not found"
