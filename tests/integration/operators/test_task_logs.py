"""What a task's log says, and that the short text of a failure stands last in it."""

from __future__ import annotations

from typing import Any

import pytest

from stepbridge.aws.logs import CloudWatchLogs
from stepbridge.aws.step_functions import StepFunctions
from stepbridge.triggers.state_changes import JOB_LINES, StateChanges

from .airflow_runs import AirflowRuns, Failures
from .tiny_model import TinyModel


def test_the_short_text_stands_last(airflow: AirflowRuns, model: TinyModel, capsys: pytest.CaptureFixture[str]) -> None:
    """Below Airflow's frames: what failed, the script's error, links, what to do, and that it is not tried again."""
    model.script("preprocessing", "print('reading')\nraise ValueError('no column\\nnor header')")
    failures = Failures()
    dag = model.dag(failures, stages=["preprocessing"], retries=2)
    airflow.run(dag, failures)
    printed = capsys.readouterr().out
    assert "Traceback (most recent call last)" in printed
    assert "| reading" in printed
    last = printed.rpartition("::endgroup::")[0].rpartition("::endgroup::")[2]
    assert "ValueError: no column\n    nor header" in last
    assert "| reading" not in last
    assert "task_runner.py" not in last
    assert "what to do: The stage's own code" in last
    assert "not tried again by Airflow: AlgorithmError" in last


WARNS = """
import sys
print("\\n".join(f"line {n}" for n in range(30)), flush=True)
print("base.py:347: InconsistentVersionWarning: Trying to unpickle estimator", file=sys.stderr, flush=True)
print("\\n".join(f"row {n}" for n in range(30)), flush=True)
open("/opt/ml/processing/output/result.txt", "w").write("{}")
"""


@pytest.mark.parametrize("deferrable", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_successful_run_has_each_stage_s_key_lines_and_links(
    airflow: AirflowRuns, model: TinyModel, capsys: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    """Its warnings and last lines; links to every stage's log and to the output."""
    model.script("preprocessing", WARNS)
    failures = Failures()
    stages = ["preprocessing", "postprocessing"]
    run = airflow.run(model.dag(failures, stages=stages, wait={"deferrable": deferrable}), failures)
    assert run.succeeded, failures.by_task
    printed = capsys.readouterr().out
    report = run.xcom("wait_for_execution")
    jobs = [stage["job_name"] for stage in report["stages"]]
    after = printed.partition(f"{report['execution_name']}  SUCCEEDED")[2]
    assert "preprocessing | base.py:347: InconsistentVersionWarning" in after
    assert "preprocessing | row 29" in after
    assert "preprocessing | line 0" not in after
    assert "-preprocessing-" not in after.partition(" | ")[0].splitlines()[-1], (
        "a job's name hides the line in the page"
    )
    for job, stage in zip(jobs, stages, strict=True):
        assert f"job log of {stage}: http" in after
        assert f"{job}%2F" in after
    assert "output: http" in after


@pytest.mark.long
def test_lines_of_jobs_stand_between_the_changes_of_state(
    airflow: AirflowRuns, model: TinyModel, session: Any, endpoint_url: str
) -> None:
    """Each once, in its stage, and of a job that prints much the first ones only; whenever they are asked for."""
    chatty = "print('\\n'.join(f'row {n}' for n in range(500)))\n"
    model.script("preprocessing", chatty + "open('/opt/ml/processing/output/a.txt', 'w').write('x')\n")
    failures = Failures()
    run = airflow.run(model.dag(failures, stages=["preprocessing", "postprocessing"]), failures)
    assert run.succeeded, failures.by_task
    machines, logs = (session.client(name, endpoint_url=endpoint_url) for name in ("stepfunctions", "logs"))
    changes = StateChanges(StepFunctions(machines), run.xcom("start_execution"), CloudWatchLogs(logs))
    lines = changes.new_lines()
    entered = [at for at, line in enumerate(lines) if line.endswith("processing entered")]
    shown = [f"    | row {number}" for number in range(JOB_LINES)] + ["    | … more in the job's log"]
    begin = lines.index(shown[0])
    assert lines[begin : begin + len(shown)] == shown
    assert entered[0] < begin < entered[1] < lines.index("    | postprocessing reads a.txt")
    assert changes.new_lines() == []
