"""A real Airflow: what Trigger gives, at any date and at first sight, and which of many runs goes first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient, AirflowError
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite
from stepbridge.core.model_card import parse_card

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800), pytest.mark.xdist_group("card runs")]

SECONDS = 1200
MANY = 16
SCRIPT = """\
import sys, time
from pathlib import Path

time.sleep(float(Path("/opt/ml/processing/input/seconds").read_text()))
Path("/opt/ml/processing/output/rows.csv").write_text("a,b\\n1,2\\n")
"""
CARD = """\
stages: [preprocessing]
scripts: scripts/rows
input_uri: s3://{{ var.json.stepbridge.bucket }}/seconds/short/
output_uri: s3://{{ var.json.stepbridge.bucket }}/out/{{ run_id }}/
max_active_runs: 16
"""
PREDICT = (
    "import shutil\nshutil.copytree('/opt/ml/processing/input', '/opt/ml/processing/output', dirs_exist_ok=True)\n"
)
CARDS = {
    "bounded": 'schedule: "30 2 * * *"\ntimezone: Asia/Tokyo\nstart_date: 2020-01-01\nend_date: 2020-12-31\n',
    "future": 'schedule: "@daily"\nstart_date: 2900-01-01\n',
    "unscheduled": "end_date: 2020-12-31\n",
    "long_run": "dagrun_timeout: 240\n",
}


@pytest.fixture(scope="module")
def add_models(project: Path) -> None:
    """Models with bounds, and many whose image has to be built."""
    (project / "scripts/rows").mkdir()
    (project / "scripts/rows/preprocessing.py").write_text(SCRIPT)
    for name, more in CARDS.items():
        text = CARD.replace("short/", "long/") if name == "long_run" else CARD
        (project / f"dags/models/{name}.yaml").write_text(text + more)
    for number in range(MANY):
        name = f"many_{number}"
        (project / f"dags/models/{name}.yaml").write_text(
            CARD.replace("stages: [preprocessing]", "stages: [inference]")
        )
        (project / "containers" / name).mkdir()
        (project / "containers" / name / "predict.py").write_text(PREDICT + f"# {number}\n")
        dockerfile = 'FROM python:3-slim\nCOPY predict.py .\nENTRYPOINT ["python3", "/predict.py"]\n'
        (project / "containers" / name / "Dockerfile").write_text(dockerfile)


@pytest.fixture(scope="module")
def airflow(site: RunningSite) -> Iterator[AirflowClient]:
    s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
    for name, seconds in (("short", b"0"), ("long", b"900")):
        s3.put_object(Bucket=site.stack().bucket, Key=f"seconds/{name}/seconds", Body=seconds)
    client = site.airflow()
    unpaused(client, "long_run")  # its time passes while the other tests run
    trigger(client, "long_run", "too_long", None)
    yield client
    client.close()


def asked(call: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """The first answer that is ``wanted``. A loaded machine may leave a call without one: it is asked again."""
    deadline, last = time.monotonic() + SECONDS, None
    while time.monotonic() < deadline:
        try:
            if wanted(last := call()):
                return last
        except AirflowError as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(last)


def unpaused(airflow: AirflowClient, dag_id: str) -> None:
    asked(lambda: airflow.dag(dag_id), lambda dag: dag is not None)
    asked(lambda: airflow.unpause(dag_id), lambda _: True)


def ended(airflow: AirflowClient, dag_id: str, run_id: str) -> str:
    run = asked(lambda: airflow.dag_run(dag_id, run_id), lambda run: run["state"] in ("success", "failed"))
    return str(run["state"])


def logs(airflow: AirflowClient, dag_id: str, run_id: str) -> str:
    failed = [each for each in airflow.task_instances(dag_id, run_id) if each["state"] == "failed"]
    return "\n".join(
        line for each in failed for line in airflow.task_log(dag_id, run_id, each["task_id"], each["try_number"])
    )


def trigger(airflow: AirflowClient, dag_id: str, run_id: str, logical_date: str | None, **conf: Any) -> None:
    """Make the run; a call without an answer is made again, and may find the run there."""
    body = {"dag_run_id": run_id, "logical_date": logical_date, "conf": conf}

    def make() -> bool:
        try:
            airflow._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
        except AirflowError as error:
            if "HTTP 400" in str(error):
                raise AssertionError(str(error)) from error
            return "HTTP 409" in str(error)
        return True

    asked(make, bool)


def test_a_run_by_hand_at_any_date_runs_its_tasks(airflow: AirflowClient) -> None:
    """Before the first day, after the last, before a first day to come, and without a date."""
    dates = ("1970-01-01T00:00:00Z", "2020-06-01T00:00:00Z", "2025-06-01T00:00:00Z", None)
    runs = [(dag_id, str(day)[:4], day) for dag_id in ("bounded", "future", "unscheduled") for day in dates]
    for dag_id, run_id, day in runs:
        unpaused(airflow, dag_id)
        trigger(airflow, dag_id, run_id, day)
    for dag_id, run_id, _ in runs:
        assert ended(airflow, dag_id, run_id) == "success", logs(airflow, dag_id, run_id)
        states = {each["task_id"]: each["state"] for each in airflow.task_instances(dag_id, run_id)}
        assert states == dict.fromkeys(("upload_scripts", "start_execution", "wait_for_execution"), "success")


def test_the_details_show_zone_and_schedule(airflow: AirflowClient) -> None:
    """In the schedule's description: Airflow 3.3.2's own field shows the installation's zone for every DAG."""
    unpaused(airflow, "bounded")
    found = airflow._send("GET", "/api/v2/dags/bounded/details") or {}
    assert (found["start_date"], found["end_date"]) == (None, None)
    assert found["timetable_summary"] == "30 2 * * *"
    assert found["timetable_description"] == "At 02:30 from 2020-01-01 to 2020-12-31, Asia/Tokyo"


def test_what_the_form_refuses_it_refuses_in_words(airflow: AirflowClient) -> None:
    """No pattern has to be read."""
    unpaused(airflow, "bounded")
    for conf, words in (
        ({"input_uri": "/data"}, "'/data' is not valid; expected: S3 URI such as s3://bucket/prefix/"),
        (
            {"instance_type": "m5.large"},
            "'m5.large' is not valid; expected: SageMaker instance type such as ml.m5.large",
        ),
    ):
        with pytest.raises(AssertionError, match="HTTP 400") as raised:
            trigger(airflow, "bounded", "refused", None, **conf)
        assert words in str(raised.value)
        assert "Failed validating" not in str(raised.value), "the schema is no word"


def test_the_examples_first_trigger_gives_predictions(airflow: AirflowClient, site: RunningSite, project: Path) -> None:
    """The form untouched, at today's date; and each day that the form offers has its data."""
    card = parse_card((project / "dags/models/flight_delay.yaml").read_text(), "flight_delay.yaml")
    s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
    bucket = site.stack().bucket
    for day in card.params["day"]:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"flights/{day}/")["Contents"]
        assert {each["Key"].rpartition("/")[2] for each in found} == {"flights.csv", "weather.csv", "planes.csv"}
    unpaused(airflow, "flight_delay")
    trigger(airflow, "flight_delay", "untouched", "2026-11-26T10:00:00Z")
    trigger(airflow, "flight_delay", "last_day", None, day=card.params["day"][-1])
    for run_id, day in (("untouched", card.params["day"][0]), ("last_day", card.params["day"][-1])):
        assert ended(airflow, "flight_delay", run_id) == "success", logs(airflow, "flight_delay", run_id)
        key = f"predictions/flight_delay/{day}/predictions.csv"
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read().count(b"\n") > 500


def test_of_many_new_models_the_first_executes_while_others_still_build(airflow: AirflowClient) -> None:
    """Whoever can start goes before whoever builds."""
    names = [f"many_{number}" for number in range(MANY)]
    for name in names:
        unpaused(airflow, name)
    for name in names:
        trigger(airflow, name, "at_once", None)
    for name in names:
        assert ended(airflow, name, "at_once") == "success", logs(airflow, name, "at_once")
    tasks = [each for name in names for each in airflow.task_instances(name, "at_once")]
    starts = sorted(each["end_date"] for each in tasks if each["task_id"] == "start_execution")
    builds = sorted(each["start_date"] for each in tasks if each["task_id"] == "build_image")
    print("first execution started", starts[0], "builds began", builds[0], "to", builds[-1])
    assert starts[0] < builds[MANY // 2]


def test_a_run_past_its_dagrun_timeout_fails_and_its_execution_is_stopped(
    airflow: AirflowClient, site: RunningSite
) -> None:
    """The card's dagrun_timeout bounds the run."""
    assert ended(airflow, "long_run", "too_long") == "failed"
    states = local_session().client("stepfunctions", endpoint_url=site.aws_endpoint_url)
    arn = airflow.xcom("long_run", "too_long", "start_execution")
    deadline = time.monotonic() + 120
    while (status := states.describe_execution(executionArn=arn)["status"]) == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert status == "ABORTED"
