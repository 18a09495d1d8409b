"""What a failed image build says."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from airflow.sdk import RetryAction

from stepbridge.errors import BrokenImageError
from stepbridge.images.build_failure import (
    BUILD_BEGINS,
    CommandOutput,
    build_failure,
    cause_in,
    exit_code_of,
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


def test_an_unknown_cause_leads_to_the_log() -> None:
    """No guess is made: of several lines the last error, else the last line."""
    lines = ["error: in a function", "ERROR: failed to build", "note: bye"]
    error = build_failure("p:1", "FAILED", "BUILD", "", lines)
    assert error.summary.startswith(
        "image build p:1: ERROR: failed to build (FAILED in phase BUILD); correct what it names"
    )
    assert cause_in(["make: error", ""]) == "make: error"
    assert "(the build wrote no log)" in str(build_failure("p:1", "TIMED_OUT", "QUEUED", "", []))
    assert exit_code_of("no code here") is None


def test_the_buildspec_s_own_lines_are_left_out() -> None:
    """CodeBuild prints the whole script before it runs it; docker's output begins behind a line of its own."""
    output = CommandOutput()
    for line in [
        "[Container] Running command set -eu",
        f'  print("{BUILD_BEGINS}", flush=True)',
        BUILD_BEGINS,
        "Step 1/2",
    ]:
        output.add(line)
    assert output.lines == ["Step 1/2"]
    assert BUILD_BEGINS in STACK.read_text()


def test_codebuild_s_last_lines_do_not_push_out_the_command_s_output() -> None:
    """It repeats the failed script and logs the phases that follow."""
    output = CommandOutput()
    for line in [
        "[Container] 2026/11/22 13:36:57.1 Running command set -eu",
        "Dockerfile:2: RUN apt-get: not found",
        "[Container] 2026/11/22 13:36:58.9 Command did not exit successfully set -eu",
        *(f"script line {number}" for number in range(60)),
        "[Container] 2026/11/22 13:36:58.9 Phase complete: BUILD State: FAILED",
    ]:
        output.add(line)
    assert output.lines[-1] == "Dockerfile:2: RUN apt-get: not found"
