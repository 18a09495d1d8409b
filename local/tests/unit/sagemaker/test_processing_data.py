"""Where inputs land, which instance gets which, which files are outputs, and how records and lists are kept."""

from __future__ import annotations

import base64
import gc
import json
import os
import sqlite3
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge_local.protocols import Scope, ServiceError
from stepbridge_local.services.sagemaker.errors import BrokenRecordError
from stepbridge_local.services.sagemaker.inputs import InputFile, manifest_entries, relative_path, shard
from stepbridge_local.services.sagemaker.job import ProcessingJob, Status
from stepbridge_local.services.sagemaker.job_list import page, selection
from stepbridge_local.services.sagemaker.outputs import files_below, opened_without_links
from stepbridge_local.services.sagemaker.s3_uri import join, split_uri
from stepbridge_local.services.sagemaker.store import RECORDS_FILE, JobStore

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
SCOPE = Scope("123456789012", "us-east-1")


@pytest.mark.parametrize(
    ("prefix", "key", "path"),
    [
        ("in/", "in/a.csv", "a.csv"),
        ("in", "in/a.csv", "a.csv"),
        ("in", "in/deep/a.csv", "deep/a.csv"),
        ("in", "inner/a.csv", "inner/a.csv"),
        ("x/da", "x/data.csv", "data.csv"),
        ("x/data.csv", "x/data.csv", "data.csv"),
        ("x/data.csv", "x/data.csv.bak", "data.csv.bak"),
        ("data.csv", "data.csv", "data.csv"),
        ("", "a/b.csv", "a/b.csv"),
        ("in/", "in/", None),
        ("in", "in/deep/", None),
    ],
)
def test_where_an_object_lands(prefix: str, key: str, path: str | None) -> None:
    """Relative to the prefix's last folder; a folder marker is no file."""
    assert relative_path(prefix, key) == path


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("s3://b", ("b", "")),
        ("s3://b/", ("b", "")),
        ("s3://b/k/ü //x\n%20", ("b", "k/ü //x\n%20")),
        ("https://my.bucket.s3.eu-west-1.amazonaws.com/a/b%20c", ("my.bucket", "a/b c")),
        ("https://bucket.s3.amazonaws.com", ("bucket", "")),
        ("https://bucket.s3-eu-west-1.amazonaws.com/", ("bucket", "")),
        ("https://bucket.s3.dualstack.us-east-2.amazonaws.com/k", ("bucket", "k")),
        ("https://bucket.s3.cn-north-1.amazonaws.com.cn/k", ("bucket", "k")),
        ("https://s3.amazonaws.com/bucket/k/l", ("bucket", "k/l")),
        ("https://s3.us-west-2.amazonaws.com/bucket", ("bucket", "")),
        ("https://s3-us-west-2.amazonaws.com/bucket/", ("bucket", "")),
    ],
)
def test_s3_locations(uri: str, place: tuple[str, str]) -> None:
    """The key of an s3:// URI is taken to the letter; https in each form that S3 has, percent-decoded."""
    assert split_uri(uri) == place


@pytest.mark.parametrize(
    "uri",
    [
        "https://b/k",
        "https://s3.amazonaws.com/",
        "https://bucket.s3.example.com/k",
        "http://s3.amazonaws.com/b/k",
        "s3:///k",
    ],
)
def test_no_s3_locations(uri: str) -> None:
    """An address of something else is refused."""
    with pytest.raises(ValueError, match="is not an S3 location"):
        split_uri(uri)


def test_below_a_location() -> None:
    """With one slash in between, whether the location ends with one or not."""
    assert join("s3://b/out", "x/y") == join("s3://b/out/", "x/y") == ("b", "out/x/y")
    assert join("https://b.s3.amazonaws.com", "x") == ("b", "x")


def test_manifests() -> None:
    """Prefix and suffix are joined as they are."""
    entries = manifest_entries('[{"prefix": "s3://b/some/pre"}, "fix/1.csv", "2.csv"]')
    assert entries == [InputFile("b", "some/prefix/1.csv", "fix/1.csv"), InputFile("b", "some/pre2.csv", "2.csv")]


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "{}",
        "[]",
        '["a"]',
        '[{"prefix": 1}]',
        '[{"prefix": "s3://b/"}, {"a": 1}]',
        '[{"prefix": "b/"}, "x"]',
        '[{}, "x"]',
    ],
)
def test_manifests_that_are_none(manifest: str) -> None:
    """A ValueError with a text, whatever it is."""
    with pytest.raises(ValueError, match=r"\w"):
        manifest_entries(manifest)


@given(st.sets(st.text(min_size=1), max_size=30), st.integers(1, 5))
def test_shards_are_a_fair_partition(keys: set[str], instances: int) -> None:
    """Every object is in exactly one shard, and shards differ by one object at most."""
    files = [InputFile("b", key, key) for key in keys]
    shards = [shard(files, instance, instances) for instance in range(instances)]
    assert sorted(file.key for part in shards for file in part) == sorted(keys)
    sizes = [len(part) for part in shards]
    assert max(sizes) - min(sizes) <= 1


def test_files_below_a_folder(tmp_path: Path) -> None:
    """Regular files in order, hidden ones too; no links, nothing beyond a linked folder, nothing when it is gone."""
    root = tmp_path / "ml"
    folder = root / "processing" / "output"
    (folder / "b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    for path in (folder / "b" / "2", folder / "a", folder / ".hidden", tmp_path / "outside" / "secret"):
        path.write_text("x")
    (folder / "link").symlink_to(tmp_path / "outside" / "secret")
    (folder / "linked").symlink_to(tmp_path / "outside")
    (root / "processing" / "other").symlink_to(tmp_path / "outside")
    (root / "processing" / "loop").symlink_to(root / "processing" / "loop")
    assert [relative for relative, _ in files_below(folder, root)] == [".hidden", "a", "b/2"]
    for nothing in ("other", "loop", "gone"):
        assert list(files_below(root / "processing" / nothing, root)) == []


def test_a_file_is_read_only_where_no_link_has_been_put(tmp_path: Path) -> None:
    """Between the look at a file and its reading a container may put a link there, or in place of a folder above."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    root = tmp_path / "ml"
    for name in ("plain", "linked", "moved"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_text("own")
    (root / "linked" / "file").unlink()
    (root / "linked" / "file").symlink_to(tmp_path / "outside" / "file")
    (root / "moved").rename(root / "elsewhere")
    (root / "moved").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "plain" / "fifo")
    with opened_without_links(root / "plain" / "file", root) as path:
        assert path.read_text() == "own"
    for gone in ("linked/file", "moved/file", "plain/fifo", "plain", "plain/none"):
        with pytest.raises(FileNotFoundError), opened_without_links(root / gone, root):
            raise AssertionError(gone)


# --- records ----------------------------------------------------------------------------------------------------------
def job(name: str = "job-1", status: Status = Status.COMPLETED, minutes: int = 0) -> ProcessingJob:
    created = NOW + timedelta(minutes=minutes)
    return ProcessingJob(SCOPE, name, {"ProcessingJobName": name, "Environment": {"Ü": "\n"}}, created, created, status)


def test_records_survive(tmp_path: Path) -> None:
    """What a second store reads is what the first one wrote."""
    store = JobStore(tmp_path, NOW)
    full = replace(job(), start_time=NOW, end_time=NOW, exit_message="ü", failure_reason="r")
    store.add(full)
    store.add(replace(job(), scope=Scope("123456789012", "eu-west-1")))
    assert JobStore(tmp_path, NOW).get(SCOPE, "job-1") == full
    assert len(JobStore(tmp_path, NOW).select(SCOPE, selection({}))) == 1


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    """Neither in memory nor on disk."""
    store = JobStore(tmp_path, NOW)
    store.add(job())

    def refuse(_: ProcessingJob) -> ProcessingJob:
        raise ServiceError("X", "no")

    with pytest.raises(ServiceError):
        store.update(SCOPE, "job-1", refuse)
    assert store.get(SCOPE, "job-1") == JobStore(tmp_path, NOW).get(SCOPE, "job-1") == job()


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"x" * 4096, b"{}"])
def test_a_file_of_records_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    """The file, and what to do with it; never jobs that silently are not there. An empty file holds no jobs yet."""
    path = tmp_path / RECORDS_FILE
    path.write_bytes(content)
    if not content:
        assert JobStore(tmp_path, NOW).select(SCOPE, selection({})) == []
        return
    with pytest.raises(BrokenRecordError) as caught:
        JobStore(tmp_path, NOW)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("record", ["", "{}", "[]", '{"scope": {}}'])
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, record: str) -> None:
    """Not an error that only says KeyError."""
    JobStore(tmp_path, NOW).add(job())
    with sqlite3.connect(tmp_path / RECORDS_FILE) as database:
        database.execute("UPDATE jobs SET record = ?", (record,))
    with pytest.raises(BrokenRecordError, match="not the record of a processing job"):
        JobStore(tmp_path, NOW).get(SCOPE, "job-1")


def test_records_of_a_later_version_are_refused(tmp_path: Path) -> None:
    """Rather than read wrongly."""
    JobStore(tmp_path, NOW)
    with sqlite3.connect(tmp_path / RECORDS_FILE) as database:
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(BrokenRecordError, match="records of version 2; expected version 1"):
        JobStore(tmp_path, NOW)


def test_what_was_left_unfinished_is_failed(tmp_path: Path) -> None:
    """At the time of the opening, with the reason; what has ended stays as it is."""
    store = JobStore(tmp_path, NOW)
    store.add(job("running", Status.IN_PROGRESS))
    store.add(job("stopping", Status.STOPPING))
    store.add(job("done", Status.COMPLETED))
    after = JobStore(tmp_path, NOW + timedelta(hours=1))
    for name in ("running", "stopping"):
        found = after.get(SCOPE, name)
        assert (found.status, found.end_time) == (Status.FAILED, NOW + timedelta(hours=1))
        assert found.failure_reason == "InternalServerError: the local AWS was stopped while the job ran"
    assert after.get(SCOPE, "done") == job("done", Status.COMPLETED)


def test_records_are_not_kept_in_memory(tmp_path: Path) -> None:
    """Another 1,500 jobs take less than 50 KB of it, and opening them all takes less than a second of the processor."""
    store = JobStore(tmp_path, NOW)
    for number in range(500):
        store.add(job(f"job-{number}", minutes=number))
    tracemalloc.start()
    for number in range(500, 2_000):
        store.add(job(f"job-{number}", minutes=number))
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 50_000
    began = time.process_time()
    again = JobStore(tmp_path, NOW)
    assert time.process_time() - began < 1
    last = again.select(SCOPE, selection({"SortOrder": "Descending", "MaxResults": 1}))
    assert [found.name for found in last] == ["job-1999", "job-1998"]


# --- lists ------------------------------------------------------------------------------------------------------------
JOBS = [
    job("b-flights", Status.COMPLETED, 1),
    job("a-flights", Status.FAILED, 2),
    job("c-sales", Status.COMPLETED, 3),
    job("d-sales", Status.IN_PROGRESS, 3),
]


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """ListProcessingJobs on JOBS."""
    return lister(tmp_path, JOBS)


def lister(folder: Path, jobs: list[ProcessingJob]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    store = JobStore(folder, NOW + timedelta(hours=1))
    for one in jobs:
        store.add(one)
    return lambda request: page(request, store.select(SCOPE, selection(request)))


def names(response: dict[str, Any]) -> list[str]:
    return [summary["ProcessingJobName"] for summary in response["ProcessingJobSummaries"]]


def initials(response: dict[str, Any]) -> str:
    return "".join(name[0] for name in names(response))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, "bacd"),
        ({"SortOrder": "Descending"}, "dcab"),
        ({"SortBy": "Name"}, "abcd"),
        ({"SortBy": "Status"}, "bcad"),
        ({"StatusEquals": "Completed"}, "bc"),
        ({"StatusEquals": "Stopping"}, ""),
        ({"NameContains": "sales", "StatusEquals": "Completed"}, "c"),
        ({"NameContains": "%"}, ""),
        ({"CreationTimeAfter": NOW + timedelta(minutes=1)}, "acd"),
        ({"CreationTimeAfter": NOW + timedelta(minutes=1) - timedelta(microseconds=1)}, "bacd"),
        ({"CreationTimeBefore": NOW + timedelta(minutes=2)}, "b"),
        ({"CreationTimeAfter": NOW.astimezone(timezone(timedelta(hours=9))) + timedelta(minutes=1)}, "acd"),
        ({"LastModifiedTimeAfter": NOW, "LastModifiedTimeBefore": NOW + timedelta(minutes=3)}, "ba"),
        ({"MaxResults": 1, "SortBy": "Name"}, "a"),
    ],
)
def test_filters_and_order(
    listed: Callable[[dict[str, Any]], dict[str, Any]], request_: dict[str, Any], expected: str
) -> None:
    """By default in the order of creation; filters are joined; bounds are exclusive."""
    assert initials(listed(request_)) == expected


@pytest.mark.parametrize("sort_by", ["Name", "CreationTime", "Status"])
@pytest.mark.parametrize("order", ["Ascending", "Descending"])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_pages_make_up_the_whole(tmp_path: Path, sort_by: str, order: str, size: int) -> None:
    """Whatever the order and the page size, though all were created at the same moment; the last page has no token."""
    listed = lister(tmp_path, [job(name) for name in "cadb"])
    request: dict[str, Any] = {"SortBy": sort_by, "SortOrder": order}
    pages: list[str] = []
    token: dict[str, str] = {}
    for _ in range(5):
        response = listed(request | {"MaxResults": size} | token)
        pages += names(response)
        if "NextToken" not in response:
            break
        token = {"NextToken": response["NextToken"]}
    assert pages == names(listed(request)) == sorted("abcd", reverse=order == "Descending")


def test_pages_while_jobs_are_created(tmp_path: Path) -> None:
    """A job in front of the page's beginning changes nothing; one behind it is seen."""
    store = JobStore(tmp_path, NOW)
    for name in ("b", "d"):
        store.add(job(name))
    request: dict[str, Any] = {"SortBy": "Name", "MaxResults": 1}
    first = page(request, store.select(SCOPE, selection(request)))
    for name in ("a", "c"):
        store.add(job(name))
    request["NextToken"] = first["NextToken"]
    second = page(request, store.select(SCOPE, selection(request)))
    assert (names(first), names(second)) == (["b"], ["c"])


def test_ten_is_a_page(tmp_path: Path) -> None:
    """MaxResults is 10 by default."""
    response = lister(tmp_path, [job(f"job-{n}") for n in range(11)])({})
    assert len(response["ProcessingJobSummaries"]) == 10
    assert "NextToken" in response


def token(position: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


@pytest.mark.parametrize(
    "given",
    [
        *("", "x", "é", "e30=", "W10=", "!!!!", '{"after": []}'),
        token({"after": [1, "a", "b"], "of": {}}),
        token({"after": [None, "a"], "of": {}}),
        token({"after": [[1], "a"], "of": {}}),
        token({"after": [1, 2], "of": {}}),
        token({"after": [1, "a"], "of": []}),
        base64.urlsafe_b64encode(b"[" * 6000).decode(),
    ],
)
def test_a_token_that_is_none(given: str) -> None:
    """ValidationException, not a crash and not the first page again."""
    with pytest.raises(ServiceError, match=r"ValidationException: NextToken is not one"):
        selection({"NextToken": given})


def test_a_token_of_another_question(listed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """A token is good for the filters and the order it was given for; the page size may change."""
    given = listed({"MaxResults": 1})["NextToken"]
    assert initials(listed({"MaxResults": 3, "NextToken": given})) == "acd"
    with pytest.raises(ServiceError, match="other filters or order"):
        listed({"MaxResults": 1, "SortBy": "Name", "NextToken": given})
