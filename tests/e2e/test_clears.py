"""People clear because something has changed, in a real Airflow: a script, an object, an image, a table.

Each test has a model of its own, and a run of its own; they share the site and nothing else.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("clears")]

SECONDS = 300
RUN = "run"
START, WAIT = "start_execution", "wait_for_execution"
CARD = """\
stages: [{stages}]
input_uri: s3://{{{{ var.json.stepbridge.bucket }}}}/clears/{name}/
output_uri: s3://{{{{ var.json.stepbridge.bucket }}}}/out/{name}/
environment: {{TABLE: "{table}"}}
retries: 0
"""
DOCKERFILE = 'FROM python:3-slim\nCOPY predict.py /app/predict.py\nENTRYPOINT ["python3", "/app/predict.py"]\n'
COPIES = """\
import sys
from pathlib import Path

text = Path("/opt/ml/processing/input/day.txt").read_text()
if "bad" in text:
    sys.exit("row 1 is bad")
Path("/opt/ml/processing/output/day.txt").write_text(text + "{word} ")
"""
BROKEN = "raise ValueError('not written yet')\n"
READS_TABLE = """\
import os
import sys
from pathlib import Path
from urllib.request import urlopen

rate = urlopen(os.environ["TABLE"], timeout=30).read().decode()
if int(rate) < 0:
    sys.exit("the rate is negative")
Path("/opt/ml/processing/output/day.txt").write_text("rate " + rate)
"""
SLEEPS = COPIES.format(word="slept") + "import time\ntime.sleep(900)\n"
MODELS = {
    "mended_wait": ("preprocessing", BROKEN),
    "mended_run": ("preprocessing, postprocessing", BROKEN),
    "repaired_wait": ("preprocessing", COPIES.format(word="read")),
    "repaired_start": ("preprocessing, postprocessing", COPIES.format(word="read")),
    "changed_image": ("preprocessing, inference, postprocessing", BROKEN),
    "changed_table": ("preprocessing", READS_TABLE),
    "cleared_while_it_runs": ("preprocessing", SLEEPS),
    "start_alone": ("preprocessing", COPIES.format(word="read")),
    "made_again": ("preprocessing", COPIES.format(word="read")),
}


@dataclass
class Rate:
    """A table with one number, and the address at which a script reads it."""

    file: Path
    address: str

    def change(self, rate: int) -> None:
        with sqlite3.connect(self.file) as database:
            database.execute("UPDATE rates SET rate = ?", (rate,))


@pytest.fixture(scope="module")
def rate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rate]:
    file = tmp_path_factory.mktemp("rates") / "rates.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE rates AS SELECT 1 AS rate")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with sqlite3.connect(file) as database:
                [(found,)] = database.execute("SELECT rate FROM rates")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(found).encode())

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Rate(file, f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()


@pytest.fixture(scope="module")
def add_models(project: Path, rate: Rate) -> None:
    """Only the models above, and a scikit-learn image that takes no time to build."""
    for card in (project / "dags/models").iterdir():
        card.unlink()
    for name, (stages, script) in MODELS.items():
        for folder in ("containers", "scripts"):
            (project / folder / name).mkdir()
        (project / f"dags/models/{name}.yaml").write_text(CARD.format(name=name, stages=stages, table=rate.address))
        (project / f"containers/{name}/Dockerfile").write_text(DOCKERFILE)
        (project / f"containers/{name}/predict.py").write_text(BROKEN)
        for stage in ("preprocessing", "postprocessing"):
            text = COPIES.format(word=stage) if name == "changed_image" else script
            (project / f"scripts/{name}/{stage}.py").write_text(text)
    (project / "containers/scikit_learn/Dockerfile").write_text('FROM python:3-slim\nENTRYPOINT ["python3"]\n')


@dataclass
class Model:
    """One model and its run."""

    name: str
    project: Path
    airflow: AirflowClient
    s3: Any
    machines: Any
    machine: str
    bucket: str

    def put(self, text: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"clears/{self.name}/day.txt", Body=text.encode())

    def script(self, text: str, stage: str = "preprocessing") -> None:
        (self.project / f"scripts/{self.name}/{stage}.py").write_text(text)

    def image(self, text: str) -> None:
        (self.project / f"containers/{self.name}/predict.py").write_text(text)

    def output(self) -> str:
        body = self.s3.get_object(Bucket=self.bucket, Key=f"out/{self.name}/day.txt")["Body"]
        return str(body.read().decode())

    def trigger(self) -> None:
        self._until(f"DAG {self.name}", lambda: self.airflow.dag(self.name))
        self.airflow.unpause(self.name)
        self._send("dagRuns", {"dag_run_id": RUN, "logical_date": datetime.now(UTC).isoformat(), "conf": {}})

    def delete(self) -> None:
        self.airflow._send("DELETE", f"/api/v2/dags/{self.name}/dagRuns/{RUN}")

    def clear(self, *tasks: str) -> None:
        """As a user does: only these tasks, or all; nothing downstream of them."""
        body = {"dag_run_id": RUN, "dry_run": False, "only_failed": False}
        self._send("clearTaskInstances", {**body, "task_ids": list(tasks)} if tasks else body)

    def ends(self) -> str:
        """The run's state once it has ended."""
        return str(
            self._until(f"end of {self.name}", lambda: (found := self._state()) in ("success", "failed") and found)
        )

    def state(self, task_id: str) -> str:
        found = self.airflow.task_instances(self.name, RUN)
        return str(next(each["state"] for each in found if each["task_id"] == task_id))

    def log(self, task_id: str) -> str:
        """Of the latest try."""
        found = self.airflow.task_instances(self.name, RUN)
        number = next(each["try_number"] for each in found if each["task_id"] == task_id)
        return "\n".join(self.airflow.task_log(self.name, RUN, task_id, number))

    def arn(self) -> str:
        return str(self._until(f"start of {self.name}", lambda: self.airflow.xcom(self.name, RUN, START)))

    def executions(self) -> dict[str, dict[str, Any]]:
        """All of the model, by ARN."""
        pages = self.machines.get_paginator("list_executions").paginate(stateMachineArn=self.machine)
        named = [each for page in pages for each in page["executions"] if each["name"].startswith(f"{self.name}-")]
        arns = [each["executionArn"] for each in named]
        return {arn: self.machines.describe_execution(executionArn=arn) for arn in arns}

    def until_running(self) -> None:
        self._until(f"execution of {self.name}", lambda: self.state(WAIT) == "deferred")

    def _state(self) -> str:
        return str(self.airflow.dag_run(self.name, RUN)["state"])

    def _send(self, path: str, body: dict[str, Any]) -> None:
        self.airflow._send("POST", f"/api/v2/dags/{self.name}/{path}", body)

    def _until(self, what: str, read: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (found := read()):
            assert time.monotonic() < deadline, f"{what}: {self.airflow.task_instances(self.name, RUN)}"
            time.sleep(0.3)
        return found


@pytest.fixture
def model(request: pytest.FixtureRequest, site: RunningSite, project: Path) -> Iterator[Model]:
    """The model of the test's own name."""
    name = request.node.name.removeprefix("test_")
    assert name in MODELS
    session = local_session()
    s3, machines = (session.client(each, endpoint_url=site.aws_endpoint_url) for each in ("s3", "stepfunctions"))
    airflow = site.airflow()
    stack = site.stack()
    found = Model(name, project, airflow, s3, machines, stack.state_machine_arn, stack.bucket)
    found.put("good ")
    yield found
    airflow.close()


def test_mended_wait(model: Model) -> None:
    """The red box is the wait: it is cleared, redrives nothing, and names the tasks to clear, as the start does; these
    give a new one."""
    model.trigger()
    assert model.ends() == "failed"
    assert "clear upload_scripts and the tasks after it" in model.log(WAIT)
    arn = model.arn()
    model.script(COPIES.format(word="mended"))
    model.clear(WAIT)
    assert model.ends() == "failed"
    assert "the files of upload_scripts are no longer those of" in model.log(WAIT)
    assert "clear upload_scripts, start_execution and wait_for_execution" in model.log(WAIT)  # it has no build_image
    assert model.executions()[arn]["redriveCount"] == 0
    model.clear(START, WAIT)
    assert model.ends() == "failed"
    assert f"the files of upload_scripts are no longer those of {arn}; nothing was started" in model.log(START)
    assert "clear upload_scripts, start_execution and wait_for_execution" in model.log(START)
    assert len(model.executions()) == 1
    model.clear("upload_scripts", START, WAIT)
    assert model.ends() == "success", model.log(WAIT)
    assert model.output() == "good mended "
    assert len(model.executions()) == 2


def test_mended_run(model: Model) -> None:
    """The whole run is cleared: the new script runs, in a new execution."""
    model.trigger()
    assert model.ends() == "failed"
    for stage in ("preprocessing", "postprocessing"):
        model.script(COPIES.format(word=stage), stage)
    model.clear()
    assert model.ends() == "success", model.log(WAIT)
    assert model.output() == "good preprocessing postprocessing "
    assert sorted(each["status"] for each in model.executions().values()) == ["FAILED", "SUCCEEDED"]
    assert {each["redriveCount"] for each in model.executions().values()} == {0}


def test_repaired_wait(model: Model) -> None:
    """The object has the same key; the wait is cleared: one redrive for a clear, and the log says what is reused."""
    model.put("bad ")
    model.trigger()
    assert model.ends() == "failed"
    arn = model.arn()
    model.clear(WAIT)
    assert model.ends() == "failed"
    assert model.executions()[arn]["redriveCount"] == 1
    code = json.loads(model.executions()[arn]["input"])["code_uri"]
    tasks = "upload_scripts, start_execution and wait_for_execution"
    assert f"the stages that finished are not run again; it uses {code}; for a fresh run clear {tasks}" in model.log(
        WAIT
    )
    model.put("repaired ")
    model.clear(WAIT)
    assert model.ends() == "success", model.log(WAIT)
    assert model.output() == "repaired read "
    assert model.executions()[arn]["redriveCount"] == 2
    assert len(model.executions()) == 1


def test_repaired_start(model: Model) -> None:
    """The start is cleared with its wait, or the whole run: every stage runs again, in a new execution, also after a
    success; the scripts that have not changed are not uploaded again."""
    model.put("bad ")
    model.trigger()
    assert model.ends() == "failed"
    model.put("repaired ")
    model.clear(START, WAIT)
    assert model.ends() == "success", model.log(WAIT)
    assert model.output() == "repaired read read "
    model.put("repaired again ")
    model.clear(START, WAIT)
    assert model.ends() == "success", model.log(WAIT)
    assert model.output() == "repaired again read read "
    model.put("repaired for good ")
    model.clear()
    assert model.ends() == "success", model.log(WAIT)
    assert model.output() == "repaired for good read read "
    executions = model.executions()
    assert [each["redriveCount"] for each in executions.values()] == [0, 0, 0, 0]
    [code] = {json.loads(each["input"])["code_uri"] for each in executions.values()}
    assert f"{code} is there: nothing to upload" in model.log("upload_scripts")


def test_changed_image(model: Model) -> None:
    """Neither wait nor start takes the old image for a folder that has changed; the cleared run builds a new one."""
    model.trigger()
    assert model.ends() == "failed"
    assert "clear build_image and the tasks after it" in model.log(WAIT)
    arn = model.arn()
    model.image(COPIES.format(word="predicted"))
    model.clear(WAIT)
    assert model.ends() == "failed"
    assert "the files of build_image are no longer those of" in model.log(WAIT)
    assert "clear build_image, upload_scripts, start_execution and wait_for_execution" in model.log(WAIT)
    assert [each["redriveCount"] for each in model.executions().values()] == [0]
    model.clear(START, WAIT)
    assert model.ends() == "failed"
    assert f"the files of build_image are no longer those of {arn}; nothing was started" in model.log(START)
    assert list(model.executions()) == [arn]
    model.clear("build_image", START, WAIT)
    assert model.ends() == "success", model.log(WAIT)
    assert model.output() == "good preprocessing predicted postprocessing "
    assert len(model.executions()) == 2
    model.image(COPIES.format(word="forecast"))
    model.clear()
    assert model.ends() == "success", model.log(WAIT)
    assert model.output() == "good preprocessing forecast postprocessing "
    assert len(model.executions()) == 3


def test_changed_table(model: Model, rate: Rate) -> None:
    """Nothing that stepbridge could compare has changed: a cleared wait redrives what failed, and a cleared start or
    run reads the table again, whatever it ended as."""
    rate.change(-1)
    model.trigger()
    assert model.ends() == "failed"
    rate.change(1)
    model.clear(WAIT)
    assert model.ends() == "success", model.log(WAIT)
    assert model.output() == "rate 1"
    assert [each["redriveCount"] for each in model.executions().values()] == [1]
    for number, tasks in ((2, (START, WAIT)), (3, ())):
        rate.change(number)
        model.clear(*tasks)
        assert model.ends() == "success", model.log(WAIT)
        assert model.output() == f"rate {number}"
        assert len(model.executions()) == number


def test_cleared_while_it_runs(model: Model) -> None:
    """What runs is stopped for good, and the run waits for the new execution."""
    model.trigger()
    model.until_running()
    old = model.arn()
    model.script(COPIES.format(word="awake"))
    model.clear()
    assert model.ends() == "success", model.log(WAIT)
    assert model.output() == "good awake "
    executions = model.executions()
    assert len(executions) == 2
    assert (executions[old]["status"], executions[old]["redriveCount"]) == ("ABORTED", 0)


def test_start_alone(model: Model) -> None:
    """Cleared without its wait, which has ended: nothing is started, and the text says what to clear."""
    model.trigger()
    assert model.ends() == "success", model.log(WAIT)
    model.clear(START)
    model.ends()  # as success: Airflow asks the last task alone
    assert model.state(START) == "failed"
    assert "wait_for_execution was not cleared: it is success" in model.log(START)
    assert len(model.executions()) == 1


def test_made_again(model: Model) -> None:
    """A run that was deleted and made again under the same id is a new run."""
    model.trigger()
    assert model.ends() == "success", model.log(WAIT)
    old = model.arn()
    model.delete()
    model.put("new ")
    model.trigger()
    assert model.ends() == "success", model.log(WAIT)
    assert model.arn() != old
    assert model.output() == "new read "
