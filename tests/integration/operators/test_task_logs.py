"""What a task's log says, and that the short text of a failure stands last in it."""

from __future__ import annotations

import pytest

from stepbridge.dag_factory.retry_policy import ModelRetryPolicy

from .airflow_runs import AirflowRuns, Failures
from .tiny_model import TinyModel


def test_the_short_text_stands_last(airflow: AirflowRuns, model: TinyModel, capsys: pytest.CaptureFixture[str]) -> None:
    """Below Airflow's frames: what failed, the script's error, links, what to do, and that it is not tried again."""
    model.script("preprocessing", "print('reading')\nraise ValueError('no column\\nnor header')")
    failures = Failures()
    dag = model.dag(failures, stages=["preprocessing"], retries=2)
    for task in dag.tasks:
        task.retry_policy = ModelRetryPolicy()
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
import sys, time
print("\\n".join(f"line {n}" for n in range(30)), flush=True)
print("base.py:347: InconsistentVersionWarning: Trying to unpickle estimator", file=sys.stderr, flush=True)
print("\\n".join(f"row {n}" for n in range(30)), flush=True)
time.sleep(4)
open("/opt/ml/processing/output/result.txt", "w").write("{}")
"""


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_successful_run_has_each_stage_s_key_lines_and_links(
    airflow: AirflowRuns, model: TinyModel, capsys: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    """Its warnings and last lines; links to every stage's log and to the output. Before that, lines as they came."""
    model.script("preprocessing", WARNS)
    failures = Failures()
    stages = ["preprocessing", "postprocessing"]
    run = airflow.run(model.dag(failures, stages=stages, wait={"deferrable": deferrable}), failures)
    assert run.succeeded, failures.by_task
    printed = capsys.readouterr().out
    report = run.xcom("wait_for_execution")
    jobs = [stage["job_name"] for stage in report["stages"]]
    before, _, after = printed.partition(f"{report['execution_name']}  SUCCEEDED")
    assert "    | line 0" in before
    assert "    | row 29" in before
    assert before.index("Preprocessing entered") < before.index("    | line 0")
    assert f"{jobs[0]} | base.py:347: InconsistentVersionWarning" in after
    assert f"{jobs[0]} | row 29" in after
    assert f"{jobs[0]} | line 0" not in after
    for job, stage in zip(jobs, stages, strict=True):
        assert f"job log of {stage}: http" in after
        assert f"{job}%2F" in after
    assert "output: http" in after
