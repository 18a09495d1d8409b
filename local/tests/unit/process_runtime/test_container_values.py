"""The values around a container: lines, reasons, settings, folders."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge_local.errors import ImageBuildError, Problem
from stepbridge_local.runtimes.process.container import MAX_LINE_BYTES, LineSplitter
from stepbridge_local.runtimes.process.errors import DockerfileError
from stepbridge_local.runtimes.process.folders import SessionFolder, link_tree, remove_tree, tree_size
from stepbridge_local.runtimes.process.package_index import cache_folder, index_binds, index_environment
from stepbridge_local.runtimes.process.sandbox import HostLayout, LaunchSpec, launch_spec
from stepbridge_local.runtimes.process.start_failure import start_failure


def lines(*blocks: bytes) -> list[str]:
    splitter = LineSplitter()
    return [line for block in blocks for line in splitter.feed(block)] + list(splitter.flush())


# --- lines ------------------------------------------------------------------------------------------------------------
def test_lines_over_several_blocks_and_the_last_one_without_an_end() -> None:
    """Empty lines count, the end of the output is no line."""
    assert lines(b"a\nb", b"c\r\n", b"\n", b"last") == ["a", "bc", "", "last"]
    assert lines(b"a\n") == ["a"]


@given(st.binary(max_size=200), st.integers(1, 50))
def test_how_the_output_is_cut_into_blocks_changes_nothing(content: bytes, size: int) -> None:
    """A character may be spread over two blocks."""
    blocks = [content[start : start + size] for start in range(0, len(content), size)]
    assert lines(*blocks) == lines(content)


def test_a_long_line_comes_in_pieces_of_at_most_256_kilobytes_and_nothing_is_lost() -> None:
    """No character is cut in two."""
    text = "é" * MAX_LINE_BYTES + "x" + "é" * 10
    encoded = text.encode()
    pieces = lines(*(encoded[start : start + 65536] for start in range(0, len(encoded), 65536)), b"\nnext\n")
    assert "".join(pieces[:-1]) == text
    assert pieces[-1] == "next"
    assert len(pieces) == 4
    assert max(len(piece.encode()) for piece in pieces) <= MAX_LINE_BYTES


def test_bytes_that_are_no_text_are_replaced() -> None:
    """And do not end the output."""
    assert lines(b"\xff\xfe ok\n") == ["\ufffd\ufffd ok"]


# --- reasons ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def spec(tmp_path: Path) -> LaunchSpec:
    return launch_spec(
        HostLayout(("/usr",), {"/bin": "usr/bin"}, (), ""),
        job_folder=tmp_path,
        rootfs=tmp_path,
        environment_layer=None,
        python_prefix="/home/me/python",
        command=["run.sh", "x"],
        environment={"PATH": "/bin"},
        working_folder="/app",
        name="job",
    )


def message(step: str, number: int) -> bytes:
    return f"{step}\0{number}\0detail".encode()


@pytest.mark.parametrize(
    ("step", "number", "settings", "parts"),
    [
        (
            "unshare",
            errno.ENOSPC,
            {"/proc/sys/user/max_user_namespaces": "0"},
            ["ENOSPC", "sysctl user.max_user_names"],
        ),
        (
            "mount none on /",
            errno.EACCES,
            {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"},
            ["apparmor"],
        ),
        ("unshare", errno.EPERM, {}, ["EPERM", "--privileged", "--runtime docker"]),
        ("mount overlay on /x", errno.EIO, {}, ["mount overlay on /x failed with EIO (detail)"]),
        ("run run.sh", errno.ENOENT, {}, ["`run.sh x`", "in /app", "on PATH (/bin)", "ENTRYPOINT"]),
        ("run run.sh", errno.EACCES, {}, ["not executable", "--chmod=755"]),
        ("run run.sh", errno.ENOEXEC, {}, ["#!"]),
        ("run run.sh", errno.ENAMETOOLONG, {}, ["detail"]),
    ],
)
def test_the_reason_says_what_to_do(
    spec: LaunchSpec, step: str, number: int, settings: dict[str, str], parts: list[str]
) -> None:
    """By the step that failed and the settings of the system."""
    text = start_failure(message(step, number), spec, lambda path: settings.get(path, ""))
    assert [part for part in parts if part not in text] == []


def test_a_python_outside_of_the_system_folders_is_bound_at_its_place(spec: LaunchSpec) -> None:
    """Only its own folder, and read-only."""
    assert [(bind.source, bind.target, bind.read_only) for bind in spec.binds] == [
        ("/home/me/python", "/home/me/python", True)
    ]


def test_faults_survive_pickling() -> None:
    """With all of their problems."""
    fault = DockerfileError("Dockerfile", [Problem("Dockerfile:2: RUN", "x", "y", "z")])
    copy = pickle.loads(pickle.dumps(fault))
    assert isinstance(copy, ImageBuildError)
    assert (str(copy), copy.problems) == (str(fault), fault.problems)


# --- settings ---------------------------------------------------------------------------------------------------------
def test_a_build_sees_where_packages_come_from_and_nothing_else() -> None:
    """pip's variables in the words of uv, which win when both are set."""
    environ = {
        "AWS_SECRET_ACCESS_KEY": "secret",
        "HOME": "/home/me",
        "UV_PUBLISH_TOKEN": "secret",
        "UV_CACHE_DIR": "/cache",
        "PIP_INDEX_URL": "https://pip",
        "PIP_EXTRA_INDEX_URL": "https://a https://b",
        "PIP_FIND_LINKS": "/w1 /w2",
        "UV_INDEX_PRIVATE_PASSWORD": "needed",
        "https_proxy": "http://proxy",
        "SSL_CERT_FILE": "",
    }
    assert index_environment(environ) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "https://pip",
        "UV_INDEX": "https://a https://b",
        "UV_FIND_LINKS": "/w1,/w2",
        "UV_INDEX_PRIVATE_PASSWORD": "needed",
        "https_proxy": "http://proxy",
    }
    assert (
        index_environment({"PIP_INDEX_URL": "https://pip", "UV_DEFAULT_INDEX": "https://uv"})["UV_DEFAULT_INDEX"]
        == "https://uv"
    )


def test_files_that_the_settings_name_are_seen_too(tmp_path: Path) -> None:
    """Those that exist."""
    for name in ("wheels", "simple"):
        (tmp_path / name).mkdir()
    environment = {
        "UV_FIND_LINKS": f"{tmp_path}/wheels,{tmp_path}/missing,https://x/y",
        "UV_INDEX": f"local=file://{tmp_path}/simple https://i",
        "SSL_CERT_FILE": "",
    }
    assert [bind.source for bind in index_binds(environment)] == [f"{tmp_path}/simple", f"{tmp_path}/wheels"]


def test_uvs_cache_is_where_uv_has_it() -> None:
    """UV_CACHE_DIR, then XDG_CACHE_HOME, then the home; a folder of its own in each."""
    assert cache_folder({"UV_CACHE_DIR": "/c", "HOME": "/h"}) == Path("/c/stepbridge")
    assert cache_folder({"XDG_CACHE_HOME": "/x", "HOME": "/h"}) == Path("/x/uv/stepbridge")
    assert cache_folder({"HOME": "/h"}) == Path("/h/.cache/uv/stepbridge")


# --- folders ----------------------------------------------------------------------------------------------------------
def test_a_session_removes_its_own_and_abandoned_folders_only(tmp_path: Path) -> None:
    """The lock tells who is gone."""
    first = SessionFolder(tmp_path)
    (tmp_path / "session-abandoned/work/work").mkdir(parents=True)
    (tmp_path / "session-abandoned/work/work").chmod(0)  # as the kernel's overlay leaves it
    second = SessionFolder(tmp_path)
    assert {path.name for path in tmp_path.glob("session-*")} == {first.path.name, second.path.name}
    assert first.new("a") != first.new("a")
    second.close()
    second.close()
    assert [path.name for path in tmp_path.glob("session-*")] == [first.path.name]
    first.close()


def test_linked_trees_share_files_and_are_removed_apart(tmp_path: Path) -> None:
    """Links stay links."""
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "deep").mkdir(parents=True)
    (source / "deep/file").write_text("12345")
    (source / "link").symlink_to("deep/file")
    link_tree(source, target)
    assert (target / "deep/file").samefile(source / "deep/file")
    assert (target / "link").readlink() == Path("deep/file")
    assert tree_size(target) == 5 + len("deep/file")
    remove_tree(source)
    remove_tree(source)
    assert (target / "deep/file").read_text() == "12345"
