"""What a failed image build says."""

from __future__ import annotations

import pickle

import pytest

from stepbridge.images.build_failure import CommandOutput, build_failure, exit_code_of, hint_for

REASON = "COMMAND_EXECUTION_ERROR: Error while executing command: docker build. Reason: exit status 137"


def test_the_text_has_phase_exit_code_advice_and_the_last_fifty_lines() -> None:
    """Exit code 137 alone says nothing to most people."""
    error = build_failure("p:1", "FAILED", "BUILD", REASON, [f"line {number}" for number in range(60)])
    text = str(error)
    assert "image build p:1: FAILED in phase BUILD with exit code 137" in text
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
    ("line", "advice"),
    [
        ('process "/bin/sh -c pip install" did not complete successfully: exit code: 137', "out of memory"),
        ("toomanyrequests: You have reached your pull rate limit", "public.ecr.aws"),
        ("write /var/lib: no space left on device", "larger compute type"),
        ("ERROR: No matching distribution found for pandas==99", "requirements.txt"),
        ("COPY failed: file not found in build context", ".dockerignore"),
        ("tag invalid: The image tag 'x' already exists and cannot be overwritten because the repository is immutable",
         "another build"),
    ],
)  # fmt: skip
def test_known_causes_have_their_remedy(line: str, advice: str) -> None:
    """The log's line decides."""
    assert advice in hint_for(1, ["before", line, "after"])


def test_an_unknown_cause_leads_to_the_log() -> None:
    """No guess is made."""
    assert hint_for(1, ["make: *** [all] Error 1"]) == ""
    assert "fix what the log below names" in str(build_failure("p:1", "FAILED", "BUILD", "", ["make: error"]))
    assert "(the build wrote no log)" in str(build_failure("p:1", "TIMED_OUT", "QUEUED", "", []))
    assert exit_code_of("no code here") is None


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
