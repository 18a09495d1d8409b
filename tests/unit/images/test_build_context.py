"""Which files are built or uploaded, their digest, and the zip of them."""

from __future__ import annotations

import io
import os
import socket
import stat
import zipfile
from pathlib import Path

import pytest

from stepbridge.core.dockerignore import DockerignoreError
from stepbridge.errors import ConfigurationError, FolderError
from stepbridge.images.build_context import (
    build_context,
    entries_of,
    require_files,
    scripts_folder,
    write_zip,
)
from stepbridge.images.digest import image_digest


def folder_with(folder: Path, *paths: str, ignore: str | None = None) -> Path:
    for path in ("Dockerfile", *paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"content of {path}\n")
    if ignore is not None:
        (folder / ".dockerignore").write_text(ignore)
    return folder


def counted(folder: Path) -> list[str]:
    return [file.path for file in build_context(folder) if file.path not in ("Dockerfile", ".dockerignore")]


def digest_of(folder: Path, **build_args: str) -> str:
    return image_digest(entries_of(build_context(folder)), "Dockerfile", build_args)


def zipped(folder: Path) -> bytes:
    target = io.BytesIO()
    write_zip(build_context(folder), target)
    return target.getvalue()


# What each .dockerignore leaves of the files below, as `docker build` does.
FILES = ("a.txt", "b.pyc", "data/big.csv", "data/keep.csv", "data/deep/x.csv", "src/a.txt", "src/b.pyc", "#hash")


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        ("", FILES),
        ("# a comment\n\n  \n", FILES),
        ("a.txt", ("b.pyc", "data/big.csv", "data/keep.csv", "data/deep/x.csv", "src/a.txt", "src/b.pyc", "#hash")),
        ("/a.txt", ("b.pyc", "data/big.csv", "data/keep.csv", "data/deep/x.csv", "src/a.txt", "src/b.pyc", "#hash")),
        ("**/a.txt", ("b.pyc", "data/big.csv", "data/keep.csv", "data/deep/x.csv", "src/b.pyc", "#hash")),
        ("*/a.txt", ("a.txt", "b.pyc", "data/big.csv", "data/keep.csv", "data/deep/x.csv", "src/b.pyc", "#hash")),
        ("**/*.pyc", ("a.txt", "data/big.csv", "data/keep.csv", "data/deep/x.csv", "src/a.txt", "#hash")),
        ("data", ("a.txt", "b.pyc", "src/a.txt", "src/b.pyc", "#hash")),
        ("data/", ("a.txt", "b.pyc", "src/a.txt", "src/b.pyc", "#hash")),
        ("./data/../data", ("a.txt", "b.pyc", "src/a.txt", "src/b.pyc", "#hash")),
        ("data/*", ("a.txt", "b.pyc", "src/a.txt", "src/b.pyc", "#hash")),
        ("data\n!data/keep.csv", ("a.txt", "b.pyc", "data/keep.csv", "src/a.txt", "src/b.pyc", "#hash")),
        ("data\n!data/deep", ("a.txt", "b.pyc", "data/deep/x.csv", "src/a.txt", "src/b.pyc", "#hash")),
        ("!data/keep.csv\ndata", ("a.txt", "b.pyc", "src/a.txt", "src/b.pyc", "#hash")),
        ("*\n!src", ("src/a.txt", "src/b.pyc")),
        ("*\n!src\nsrc/*.pyc", ("src/a.txt",)),
        ("**\n!**/*.csv", ("data/big.csv", "data/keep.csv", "data/deep/x.csv")),
        ("?.txt", ("b.pyc", "data/big.csv", "data/keep.csv", "data/deep/x.csv", "src/a.txt", "src/b.pyc", "#hash")),
        ("[ab].*", ("data/big.csv", "data/keep.csv", "data/deep/x.csv", "src/a.txt", "src/b.pyc", "#hash")),
        (" #hash", ("a.txt", "b.pyc", "data/big.csv", "data/keep.csv", "data/deep/x.csv", "src/a.txt", "src/b.pyc")),
    ],
)  # fmt: skip
def test_dockerignore_means_what_docker_means(tmp_path: Path, ignore: str, left: tuple[str, ...]) -> None:
    """Anchored at the root, folders with all below them, the last match decides."""
    assert counted(folder_with(tmp_path, *FILES, ignore=ignore)) == sorted(left)


def test_the_dockerfile_and_its_ignore_file_always_count(tmp_path: Path) -> None:
    """The builder reads them, whatever they say of themselves."""
    folder = folder_with(tmp_path, "predict.py", ignore="*\n!predict.py")
    assert [file.path for file in build_context(folder)] == [".dockerignore", "Dockerfile", "predict.py"]


def test_a_dockerfile_of_its_own_has_an_ignore_file_of_its_own(tmp_path: Path) -> None:
    """BuildKit prefers <Dockerfile>.dockerignore."""
    folder = folder_with(tmp_path, "gpu.Dockerfile", "a.txt", "b.txt", ignore="a.txt")
    (folder / "gpu.Dockerfile.dockerignore").write_text("b.txt")
    paths = [file.path for file in build_context(folder, "gpu.Dockerfile")]
    assert "a.txt" in paths
    assert "b.txt" not in paths


def test_an_unreadable_pattern_is_named_by_line(tmp_path: Path) -> None:
    """A lone ! is an error for Docker too."""
    with pytest.raises(DockerignoreError, match=r"\.dockerignore:2: the pattern '!'"):
        build_context(folder_with(tmp_path, ignore="a\n!\n"))


def test_the_digest_is_of_content_alone(tmp_path: Path) -> None:
    """Times, owners' umask bits and the order of creation change nothing; a byte, a path or an execute bit does."""
    one = folder_with(tmp_path / "one", "a.txt", "b/c.txt")
    two = folder_with(tmp_path / "two", "b/c.txt", "a.txt")
    os.utime(two / "a.txt", (1, 1))
    (two / "a.txt").chmod(0o600)
    assert digest_of(one) == digest_of(two)
    assert zipped(one) == zipped(two)
    (two / "a.txt").chmod(0o700)
    assert digest_of(one) != digest_of(two)
    (two / "a.txt").chmod(0o600)
    (two / "a.txt").rename(two / "d.txt")
    assert digest_of(one) != digest_of(two)


def test_build_arguments_and_the_dockerfile_s_name_are_part_of_the_digest(tmp_path: Path) -> None:
    """Another build argument is another image."""
    folder = folder_with(tmp_path, "gpu.Dockerfile")
    files = entries_of(build_context(folder))
    digests = {
        image_digest(files, "Dockerfile", {}),
        image_digest(files, "gpu.Dockerfile", {}),
        image_digest(files, "Dockerfile", {"A": "1"}),
        image_digest(files, "Dockerfile", {"A": "1", "B": "2"}),
        image_digest(files, "Dockerfile", {"A": "1\0build-arg B=3"}),
    }
    assert len(digests) == 5
    assert image_digest(files, "Dockerfile", {"B": "2", "A": "1"}) in digests


def test_an_ignored_file_changes_neither_digest_nor_zip(tmp_path: Path) -> None:
    """A run by hand leaves caches behind; they start no build."""
    folder = folder_with(tmp_path, "predict.py", ignore="**/__pycache__")
    before = digest_of(folder), zipped(folder)
    folder_with(tmp_path, "__pycache__/predict.pyc")
    assert (digest_of(folder), zipped(folder)) == before


def test_the_zip_holds_files_with_their_modes(tmp_path: Path) -> None:
    """CodeBuild unpacks it: scripts stay executable, links arrive as the files they lead to."""
    folder = folder_with(tmp_path, "run.sh", "real.txt")
    (folder / "run.sh").chmod(0o775)
    (folder / "link.txt").symlink_to("real.txt")
    with zipfile.ZipFile(io.BytesIO(zipped(folder))) as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
        assert archive.read("link.txt") == b"content of real.txt\n"
    assert modes["run.sh"] == stat.S_IFREG | 0o755
    assert modes["link.txt"] == modes["real.txt"] == stat.S_IFREG | 0o644


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside.txt", "nowhere", "sub"])
def test_a_link_that_leads_nowhere_good_is_refused(tmp_path: Path, target: str) -> None:
    """Out of the folder, to a folder or to nothing: the image would miss it, or hold what it must not."""
    (tmp_path / "outside.txt").write_text("secret")
    folder = folder_with(tmp_path / "context", "sub/a.txt")
    (folder / "link").symlink_to(target)
    with pytest.raises(FolderError, match=r"context/link: a symbolic link to .*\.dockerignore"):
        build_context(folder)


def test_an_ignored_link_is_no_matter(tmp_path: Path) -> None:
    """A virtual environment is full of links to the outside; ignoring it is enough."""
    folder = folder_with(tmp_path, ".venv/pyvenv.cfg", ignore=".venv\n")
    (folder / ".venv" / "python").symlink_to("/usr/bin/env")
    (folder / ".venv" / "loop").symlink_to(".")
    assert counted(folder) == []


def test_what_is_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket can't be zipped."""
    folder = folder_with(tmp_path)
    monkeypatch.chdir(folder)  # a socket's path may be no longer than 108 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        with pytest.raises(FolderError, match="a socket, pipe or device"):
            build_context(folder)


def test_missing_folders_and_dockerfiles_are_named(tmp_path: Path) -> None:
    """The card's folder may be mistyped."""
    with pytest.raises(FolderError, match="no such folder"):
        build_context(tmp_path / "modle")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderError, match="empty/Dockerfile: no such file"):
        build_context(tmp_path / "empty")


def test_scripts_go_with_the_modules_beside_them(tmp_path: Path) -> None:
    """Caches and hidden files stay behind."""
    names = ("preprocessing.py", "shared.py", "lib/x.py", "__pycache__/shared.pyc", ".env", ".git/config", "old.pyc")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [file.path for file in scripts_folder(tmp_path)] == ["lib/x.py", "preprocessing.py", "shared.py"]


def test_a_stage_without_its_script_is_an_error_with_all_that_miss(tmp_path: Path) -> None:
    """All at once, with what is there."""
    (tmp_path / "preprocess.py").write_text("")
    with pytest.raises(
        ConfigurationError, match=r"no preprocessing\.py and no postprocessing\.py \(it holds preprocess\.py\)"
    ):
        require_files(tmp_path, scripts_folder(tmp_path), ["preprocessing.py", "postprocessing.py"])
