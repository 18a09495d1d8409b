"""The admin API on values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepbridge_local.fault_injection import FAULTS_PATH
from stepbridge_local.fault_injection.active_faults import FaultInjection
from stepbridge_local.fault_injection.admin import answer
from stepbridge_local.protocols import Scope

HERE = Scope("123456789012", "us-east-1")
ERROR = {"fault": "error", "operations": ["states:StartExecution"], "status": 503}


def ask(injection: FaultInjection, method: str, body: Any = None, path: str = "") -> tuple[int, Any]:
    data = b"" if body is None else json.dumps(body).encode()
    status, answered = answer(injection, method, FAULTS_PATH + path, "application/json; charset=utf-8", data)
    return int(status.split()[0]), answered


def names(answered: Any) -> list[str]:
    return [fault["name"] for fault in answered["faults"]]


def test_nothing_is_set_at_first() -> None:
    """And then nothing is asked of requests."""
    injection = FaultInjection()
    assert ask(injection, "GET") == (200, {"faults": []})
    assert injection.on_requests is None
    assert not injection.enforces_iam


def test_a_fault_is_set_listed_and_cleared_by_name() -> None:
    """The listing has its defaults, and how often it struck."""
    injection = FaultInjection()
    status, answered = ask(injection, "POST", {**ERROR, "name": "flaky", "seed": 1})
    assert status == 200
    (fault,) = answered["faults"]
    assert (fault["name"], fault["when"], fault["rate"], fault["candidates"], fault["struck"]) == (
        "flaky",
        "before",
        1,
        0,
        0,
    )
    assert injection.on_requests is not None
    injection.on_requests.effect_on("states:StartExecution", HERE)
    assert ask(injection, "GET")[1]["faults"][0]["struck"] == 1
    assert ask(injection, "DELETE", path="/flaky") == (200, {"faults": []})
    assert injection.on_requests is None


def test_the_same_name_replaces_and_other_names_stay() -> None:
    """A fault's name is its kind when it is given none; a limit's has the instance type."""
    injection = FaultInjection()
    limit = {"fault": "instance-limit", "maximum": 1}
    ask(
        injection,
        "POST",
        [ERROR, {**limit, "instance_type": "ml.m5.large"}, {**limit, "instance_type": "ml.m5.xlarge"}],
    )
    _, answered = ask(injection, "POST", {**ERROR, "status": 500})
    assert sorted(names(answered)) == ["error", "instance-limit:ml.m5.large", "instance-limit:ml.m5.xlarge"]
    assert injection.on_jobs.instance_limit("ml.m5.large") == 1
    assert injection.on_jobs.instance_limit("ml.c5.large") is None


def test_there_is_one_clock_whatever_its_name() -> None:
    """Two would contradict each other."""
    injection = FaultInjection()
    ask(injection, "POST", {"fault": "clock", "speed": 10, "name": "one"})
    _, answered = ask(injection, "POST", {"fault": "clock", "speed": 20, "name": "two", "jobs": True})
    assert names(answered) == ["two"]
    assert (injection.pace.setting.speed, injection.job_speed()) == (20, 20)
    ask(injection, "DELETE")
    assert (injection.pace.setting.speed, injection.job_speed()) == (1, 1)


def test_put_replaces_everything() -> None:
    """What is not in the list is gone."""
    injection = FaultInjection()
    ask(injection, "POST", [ERROR, {"fault": "iam"}])
    assert injection.enforces_iam
    assert names(ask(injection, "PUT", [{"fault": "throttling"}])[1]) == ["throttling"]
    assert not injection.enforces_iam
    assert ask(injection, "PUT", []) == (200, {"faults": []})


def test_setting_another_fault_keeps_the_buckets_as_they_are() -> None:
    """A burst is not given twice."""
    injection = FaultInjection(clock=lambda: 0.0)
    ask(injection, "POST", {"fault": "throttling"})
    assert injection.on_requests is not None
    assert injection.on_requests.effect_on("sagemaker:CreateProcessingJob", HERE).error is None
    ask(injection, "POST", ERROR)
    assert injection.on_requests.effect_on("sagemaker:CreateProcessingJob", HERE).error is not None


def test_all_problems_at_once_and_nothing_is_set() -> None:
    """Each with its place, what was there and what should be; misspelt operations with the close ones."""
    injection = FaultInjection()
    wrong = [
        {"fault": "error", "operations": ["states:StartExecutoin"], "status": 503},
        {"fault": "clock", "speed": 0},
        {"fault": "latancy"},
        {"fault": "drop", "operations": ["s3"], "sometimes": True},
        ERROR,
    ]
    status, answered = ask(injection, "POST", wrong)
    assert status == 400
    lines = answered["message"].splitlines()
    assert lines[0].startswith("faults: 5 problems")
    assert "StartExecution" in lines[1]
    assert lines[2].startswith("[1].speed: 0; expected ")
    assert lines[3].startswith("[2].fault: 'latancy'; expected ")
    assert "'throttling'" in lines[3]
    assert lines[4].startswith("[3].operations: ")
    assert "service:Operation" in lines[4]
    assert lines[5] == "[3].sometimes: no such field"
    assert injection.listing() == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"3", b"null", b'"x"', b'[{"fault": null}]', b'{"fault": "error"}', b"[[]]", b'{"fault": {}}']
)
def test_bodies_that_are_no_fault_are_refused(body: bytes) -> None:
    """With a text, never with a traceback."""
    status, answered = answer(FaultInjection(), "POST", FAULTS_PATH, "application/json", body)
    assert status == "400 Bad Request"
    assert answered["message"].startswith("faults: ")  # type: ignore[index]


def test_a_form_is_not_taken_for_json() -> None:
    """A web page can make a browser send one to this machine."""
    body = json.dumps(ERROR).encode()
    assert answer(FaultInjection(), "POST", FAULTS_PATH, "text/plain", body)[0].startswith("415")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """And with nothing, when nothing is set."""
    injection = FaultInjection()
    assert ask(injection, "DELETE", path="/x") == (404, {"message": "no fault is named 'x'; set are: nothing"})
    ask(injection, "POST", ERROR)
    assert "set are: error" in ask(injection, "DELETE", path="/x")[1]["message"]
    assert ask(injection, "PATCH")[0] == 405
