"""The ``stepbridge-local`` command: help, version, completion, exit codes, and one text for each error."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from stepbridge_local.cli import main as command
from stepbridge_local.cli.exit_codes import SUMMARY, ExitCode
from stepbridge_local.settings import SCIKIT_LEARN_FOLDER

LOCAL = Path(__file__).parents[3]
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data folder and no project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest's own handlers stay


def run(*arguments: str, without: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m stepbridge_local`` in a process of its own. The packages of ``without`` cannot be imported there."""
    program = (
        "import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({list(without)!r}))\n"
        "runpy.run_module('stepbridge_local', run_name='__main__', alter_sys=True)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(LOCAL), "TERM": "dumb", "AWS_MAX_ATTEMPTS": "1"} | environment,
        check=False,
        timeout=300,
    )


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    """Neither moto nor boto3; the exit codes stand below."""
    done = run("--help", without=("moto", "boto3", "botocore", "docker", "flask", "jsonata", "airflow", "stepbridge"))
    assert done.returncode == 0, done.stderr
    for name in ("up", "status", "logs", "reset", "fault"):
        assert f" {name} " in done.stdout
    assert SUMMARY in " ".join(done.stdout.split())


def test_the_version_is_the_distributions() -> None:
    """As pip lists it."""
    assert run("--version").stdout == f"stepbridge-local {version('stepbridge-local')}\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stepbridge-local re", {"reset"}),
        ("stepbridge-local up --runtime ", {"process", "docker", "auto"}),
        ("stepbridge-local fault set job", {"job-failure"}),
        ("stepbridge-local fault set throttling --rates ", {"aws", "none", "off"}),
    ],
)
def test_completion(line: str, expected: set[str]) -> None:
    """Commands, options and values."""
    words = line.split(" ")
    asked = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    program = "from stepbridge_local.cli.main import app; app(prog_name='stepbridge-local')"
    environment = os.environ | {"PYTHONPATH": str(LOCAL), "_STEPBRIDGE_LOCAL_COMPLETE": "complete_bash"} | asked
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    assert set(done.stdout.split()) == expected, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("nonsense", ExitCode.USAGE, "No such command 'nonsense'"),
        ("up --nonsense", ExitCode.USAGE, "No such option: --nonsense"),
        ("up --port 99999", ExitCode.USAGE, "--port"),
        ("up --port http", ExitCode.USAGE, "--port"),
        ("up --runtime podman", ExitCode.USAGE, "'podman' is not one of 'process', 'docker', 'auto'"),
        ("up --max-jobs 0", ExitCode.USAGE, "--max-jobs"),
        ("up --base-image python:3.11;ls", ExitCode.USAGE, "'python:3.11;ls' is no image"),
        ("up --scikit-learn nowhere", ExitCode.USAGE, "nowhere has no Dockerfile"),
        ("up --data-dir /dev/null/data", ExitCode.ERROR, "/dev/null: File exists"),
        ("up --data-dir /dev/null", ExitCode.ERROR, "/dev/null: File exists"),
        ("status", ExitCode.ERROR, "local-aws: no data folder; name it with --data-dir, or --endpoint-url"),
        ("status --data-dir .", ExitCode.NOT_RUNNING, ""),
        (f"status --endpoint-url {NOBODY}", ExitCode.ERROR, "no answer of a local AWS"),
        ("status --endpoint-url nonsense", ExitCode.ERROR, "no answer of a local AWS"),
        ("status --endpoint-url http://[", ExitCode.ERROR, "no answer of a local AWS"),
        ("logs", ExitCode.USAGE, "Missing argument"),
        ("logs job", ExitCode.ERROR, "no local AWS runs on this folder; start one with `stepbridge-local up`"),
        (f"logs job --endpoint-url {NOBODY}", ExitCode.ERROR, "no answer of a local AWS"),
        (f"logs job --endpoint-url {NOBODY} --region a_b", ExitCode.ERROR, "'a_b'"),
        ("reset --yes", ExitCode.ERROR, "not the data folder of a local AWS; name it with --data-dir"),
        ("fault list", ExitCode.ERROR, "no local AWS runs on this folder; start one with `stepbridge-local up`"),
        (f"fault clear x --endpoint-url {NOBODY}", ExitCode.ERROR, "no answer of a local AWS"),
        ("fault set nonsense", ExitCode.USAGE, "No such command 'nonsense'"),
        ("fault set error", ExitCode.USAGE, "Missing option '--operation'"),
        ("fault set error --operation s3:* --times 0", ExitCode.USAGE, "--times"),
        ("fault set throttling --rates x", ExitCode.USAGE, "'x' is not one of 'aws', 'none', 'off'"),
        ("fault set job-failure --reason Bad", ExitCode.USAGE, "'Bad' is not one of 'CapacityError', 'Internal"),
        ("fault set throttling --rate x", ExitCode.USAGE, "'x' is not OPERATION=BUCKET/REFILL"),
    ],
)
def test_what_is_wrong_is_one_text(
    arguments: str, code: ExitCode, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, with the documented exit code, and never a traceback."""
    monkeypatch.setattr(sys, "argv", ["stepbridge-local", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        command.main()
    error = capsys.readouterr().err
    assert ended.value.code == code, error
    assert said in error


def test_a_port_in_use_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With what to do, and no data folder stays locked."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["stepbridge-local", "up", "--port", str(port)])
        with pytest.raises(SystemExit) as ended:
            command.main()
    assert ended.value.code == ExitCode.ERROR
    expected = "something listens there already; choose another port with --port, or --port 0 for a free one"
    assert capsys.readouterr().err == f"127.0.0.1:{port}: {expected}\n"


def test_the_scikit_learn_dockerfile_is_the_projects_or_the_packaged_one(tmp_path: Path) -> None:
    """So that ``up`` works in any folder, and a project's own image is used where there is one."""
    assert command._scikit_learn_folder(None) == SCIKIT_LEARN_FOLDER
    assert (SCIKIT_LEARN_FOLDER / "Dockerfile").is_file()
    own = tmp_path / "containers" / "scikit_learn"
    own.mkdir(parents=True)
    (own / "Dockerfile").write_text("FROM python:3.11\n")
    assert command._scikit_learn_folder(None).resolve() == own
