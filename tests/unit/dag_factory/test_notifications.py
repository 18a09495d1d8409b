"""Who is notified, and of what; with a real SMTP server of a few lines."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_string
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.serialization.serialized_objects import LazyDeserializedDAG

from stepbridge.core.model_card import parse_card
from stepbridge.dag_factory import build_dag
from stepbridge.dag_factory.deadline import deadline_missed
from stepbridge.dag_factory.notifications import Notification, require_notifiers
from stepbridge.errors import CardError
from stepbridge.operators.retry_policy import ModelRetryPolicy

URIS = "input_uri: s3://bucket/in/\noutput_uri: s3://bucket/out/\nstages: [preprocessing]\n"
TOPIC = "arn:aws:sns:us-east-1:123456789012:on-call"


class _Smtp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.mails.append(b"".join(lines).decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
            if command == b"QUIT":
                return


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What arrived at the mail server of ``smtp_default``."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
        host, port = server.server_address[:2]
        connection = {"conn_type": "smtp", "host": host, "port": port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        yield server.mails  # type: ignore[attr-defined]
        server.shutdown()


def body_of(mail: str) -> str:
    message = message_from_string(mail)
    parts = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
    return "\n".join(part.decode() for part in parts if isinstance(part, bytes))


def test_a_failure_is_mailed_as_it_is(mails: list[str]) -> None:
    """The mail names task and run, and a template that a script printed is no template to it."""
    instance: Any = SimpleNamespace(dag_id="sales", task_id="wait_for_execution", run_id="r1", log_url="http://log")
    error = RuntimeError("exit code 3 <b> {{ conn.aws_default.password }}")
    Notification("on-call@example.com")({"ti": instance, "exception": error})
    [mail] = mails
    assert "Subject: sales.wait_for_execution failed in run r1" in mail
    assert "exit code 3 &lt;b&gt; {{ conn.aws_default.password }}" in body_of(mail)
    assert "http://log" in body_of(mail)


def test_a_question_is_mailed(mails: list[str], tmp_path: Path) -> None:
    """An expensive run waits for an answer: those in ``notify`` get the question and where to answer it."""
    card = parse_card(f"name: sales\n{URIS}max_cost: 5\nnotify: [on-call@example.com]\n", "sales.yaml")
    dag = build_dag(card, tmp_path)
    task: Any = dag.get_task("approve_cost")
    task.subject, task.body = "Start sales?", "at most 12.00"  # as the task sets them when it runs
    [notifier] = task.notifiers
    notifier({"task": task, "dag": dag, "ti": SimpleNamespace(log_url="http://log")})
    [mail] = mails
    assert "Subject: Start sales?" in mail
    assert "at most 12.00" in body_of(mail)
    assert "Required Actions: http://log" in body_of(mail)
    assert "object at 0x" not in json.dumps(LazyDeserializedDAG.from_dag(dag).data)  # the same at every parse


def test_a_missed_deadline_is_mailed(mails: list[str]) -> None:
    """As Airflow calls it in the triggerer."""
    run = {"dag_run": {"dag_run_id": "r1"}}
    asyncio.run(deadline_missed(model="sales", seconds=60, targets=["on-call@example.com"], context=run))
    [mail] = mails
    assert "Subject: sales missed its deadline in run r1" in mail


def test_a_card_names_whom_to_notify_and_until_when() -> None:
    """Every task carries the callbacks and the retry policy; the DAG the deadline; all of it can be serialized."""
    card = parse_card(URIS + f"notify: [{TOPIC}, on-call@example.com]\ndeadline: 7200\n", "sales.yaml")
    first, second = build_dag(card, Path()), build_dag(card, Path())
    for task in first.tasks:
        assert task.on_failure_callback == [Notification(TOPIC), Notification("on-call@example.com")]
        assert task.retry_policy == ModelRetryPolicy()
    [alert] = first.deadline
    assert alert.interval == timedelta(seconds=7200)
    assert alert.callback.kwargs["targets"] == [TOPIC, "on-call@example.com"]
    assert LazyDeserializedDAG.from_dag(first).hash == LazyDeserializedDAG.from_dag(second).hash


def test_without_the_keys_there_is_neither() -> None:
    """The retry policy is there in any case."""
    dag = build_dag(parse_card(URIS, "sales.yaml"), Path())
    assert not dag.deadline
    assert all(not task.on_failure_callback and task.retry_policy == ModelRetryPolicy() for task in dag.tasks)


def test_slack_needs_its_provider() -> None:
    """Refused when the card is read, not when the first run fails."""
    with pytest.raises(ValueError, match=r"'slack:#ops' in notify needs apache-airflow-providers-slack"):
        require_notifiers(["slack:#ops", "on-call@example.com"])


@pytest.mark.parametrize(
    "line", ["notify: [ops]", "notify: on-call@example.com", "deadline: 5", "notify: ['{{ x }}@a.b']"]
)
def test_targets_that_cannot_be_notified_are_refused(line: str) -> None:
    """With the line that it is in."""
    with pytest.raises(CardError, match=r"sales.yaml:4:"):
        parse_card(URIS + line + "\n", "sales.yaml")
