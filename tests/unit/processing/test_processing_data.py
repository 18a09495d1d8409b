"""Where inputs land, which instance gets which, which files are outputs, and how records and lists are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.local.ports import Scope, ServiceFault
from stepbridge.local.processing.faults import BrokenRecordFault
from stepbridge.local.processing.inputs import InputFile, manifest_entries, relative_path, shard, split_uri
from stepbridge.local.processing.job import ProcessingJob, Status
from stepbridge.local.processing.listing import list_jobs
from stepbridge.local.processing.outputs import files_below
from stepbridge.local.processing.store import JobStore

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


def test_s3_uris() -> None:
    """The key is what follows the bucket, to the letter."""
    assert split_uri("s3://b") == split_uri("s3://b/") == ("b", "")
    assert split_uri("s3://b/k/ü //x\n") == ("b", "k/ü //x\n")
    with pytest.raises(ValueError, match="not an s3:// URI"):
        split_uri("https://b/k")


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
    assert len(JobStore(tmp_path, NOW).of_scope(SCOPE)) == 1


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    """Neither in memory nor on disk."""
    store = JobStore(tmp_path, NOW)
    store.add(job())

    def refuse(_: ProcessingJob) -> ProcessingJob:
        raise ServiceFault("X", "no")

    with pytest.raises(ServiceFault):
        store.update(SCOPE, "job-1", refuse)
    assert store.get(SCOPE, "job-1") == JobStore(tmp_path, NOW).get(SCOPE, "job-1") == job()


def test_a_draft_of_a_killed_writer_is_no_record(tmp_path: Path) -> None:
    """The old record counts."""
    JobStore(tmp_path, NOW).add(job())
    (tmp_path / SCOPE.account_id / SCOPE.region / "job-1.draft").write_text('{"half')
    assert JobStore(tmp_path, NOW).get(SCOPE, "job-1") == job()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 2}', '{"version": 1, "scope": {}}'])
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    """The file, and what to do with it; never a job that silently is not there."""
    path = tmp_path / SCOPE.account_id / SCOPE.region / "job-1.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(BrokenRecordFault) as caught:
        JobStore(tmp_path, NOW)
    assert caught.value.where == str(path)


# --- lists ------------------------------------------------------------------------------------------------------------
JOBS = [
    job("b-flights", Status.COMPLETED, 1),
    job("a-flights", Status.FAILED, 2),
    job("c-sales", Status.COMPLETED, 3),
    job("d-sales", Status.IN_PROGRESS, 3),
]


def names(**request: Any) -> list[str]:
    return [summary["ProcessingJobName"][0] for summary in list_jobs(JOBS, request)["ProcessingJobSummaries"]]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, "bacd"),
        ({"SortOrder": "Descending"}, "dcab"),
        ({"SortBy": "Name"}, "abcd"),
        ({"SortBy": "Status"}, "bcad"),
        ({"StatusEquals": "Completed"}, "bc"),
        ({"NameContains": "sales", "StatusEquals": "Completed"}, "c"),
        ({"CreationTimeAfter": NOW + timedelta(minutes=1)}, "acd"),
        ({"CreationTimeBefore": NOW + timedelta(minutes=2)}, "b"),
        ({"LastModifiedTimeAfter": NOW, "LastModifiedTimeBefore": NOW + timedelta(minutes=3)}, "ba"),
        ({"MaxResults": 1, "SortBy": "Name"}, "a"),
    ],
)
def test_filters_and_order(request_: dict[str, Any], expected: str) -> None:
    """By default in the order of creation; filters are joined; bounds are exclusive."""
    assert "".join(names(**request_)) == expected


@given(st.sampled_from(["Name", "CreationTime", "Status"]), st.booleans(), st.integers(1, 5))
def test_pages_make_up_the_whole(sort_by: str, descending: bool, size: int) -> None:
    """Whatever the order and the page size; the last page has no token."""
    request: dict[str, Any] = {"SortBy": sort_by, "SortOrder": "Descending" if descending else "Ascending"}
    whole = names(**request)
    pages: list[str] = []
    page = list_jobs(JOBS, request | {"MaxResults": size})
    while True:
        pages += [summary["ProcessingJobName"][0] for summary in page["ProcessingJobSummaries"]]
        if "NextToken" not in page:
            break
        page = list_jobs(JOBS, request | {"MaxResults": size, "NextToken": page["NextToken"]})
    assert pages == whole


def test_ten_is_a_page() -> None:
    """MaxResults is 10 by default."""
    page = list_jobs([job(f"job-{n}") for n in range(11)], {})
    assert len(page["ProcessingJobSummaries"]) == 10
    assert "NextToken" in page


@pytest.mark.parametrize("token", ["", "x", "é", "e30=", "W10=", json.dumps({"after": []})])
def test_a_token_that_is_none(token: str) -> None:
    """ValidationException, not a crash and not the first page again."""
    with pytest.raises(ServiceFault, match=r"ValidationException: NextToken"):
        list_jobs(JOBS, {"NextToken": token})


def test_a_token_of_another_question() -> None:
    """A token is good for the filters and the order it was given for."""
    token = list_jobs(JOBS, {"MaxResults": 1})["NextToken"]
    with pytest.raises(ServiceFault, match="other filters or order"):
        list_jobs(JOBS, {"MaxResults": 1, "SortBy": "Name", "NextToken": token})
