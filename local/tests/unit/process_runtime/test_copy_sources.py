"""What COPY takes of a build context, and where it puts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepbridge_local.runtimes.process.build_context import BuildContext, copied, digest_of, resolve_in_root
from stepbridge_local.runtimes.process.dockerfile.instructions import CopyFiles
from stepbridge_local.runtimes.process.dockerignore import DockerignoreError


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    for path in ("predict.py", "requirements.txt", "pkg/a.py", "pkg/deep/b.py", "pkg/notes.txt", "secret.env"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    (folder / "Dockerfile").write_text("FROM python")
    return folder


def step(*sources: str, to: str, mode: int | None = None) -> CopyFiles:
    return CopyFiles(2, "COPY", sources, to, mode)


def copy(context: Path, root: Path, *steps: CopyFiles) -> list[str]:
    build_context = BuildContext(context, "Dockerfile")
    root.mkdir(exist_ok=True)
    for one in steps:
        sources, problems = build_context.sources(one)
        assert problems == []
        copied(sources, one, root, {"/bin": "usr/bin"})
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() or path.is_symlink())


def test_a_file_takes_the_destinations_name_or_goes_into_a_folder(context: Path, tmp_path: Path) -> None:
    """A folder is what ends in ``/`` or is one already."""
    found = copy(
        context,
        tmp_path / "root",
        step("predict.py", to="/app/main.py"),
        step("predict.py", to="/app"),
        step("predict.py", to="/new/"),
    )
    assert found == ["app/main.py", "app/predict.py", "new/predict.py"]


def test_a_folder_hands_on_its_content(context: Path, tmp_path: Path) -> None:
    """Not itself; several sources go side by side."""
    found = copy(context, tmp_path / "root", step("pkg", "predict.py", to="/app/"))
    assert found == ["app/a.py", "app/deep/b.py", "app/notes.txt", "app/predict.py"]


def test_globs(context: Path, tmp_path: Path) -> None:
    """``*`` stays within one folder."""
    assert copy(context, tmp_path / "root", step("*.txt", "pkg/?.py", to="/app/")) == [
        "app/a.py",
        "app/requirements.txt",
    ]


def test_dockerignore_is_anchored_and_the_last_match_decides(context: Path, tmp_path: Path) -> None:
    """``!`` takes back in, also below an ignored folder."""
    (context / ".dockerignore").write_text(
        "# all of it\n*.py\nsecret.env\npkg\n!pkg/deep/b.py\n.dockerignore\nDockerfile\n"
    )
    assert copy(context, tmp_path / "root", step(".", to="/app/")) == ["app/pkg/deep/b.py", "app/requirements.txt"]
    (context / ".dockerignore").write_text("**/*.py\n**/notes.*\n*ocker*\n")
    assert copy(context, tmp_path / "other", step(".", to="/")) == ["requirements.txt", "secret.env"]
    (context / "Dockerfile.dockerignore").write_text("pkg\n")
    assert "pkg/a.py" not in copy(context, tmp_path / "third", step(".", to="/"))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("missing.bin", "missing.bin, which is not in the context;"),
        ("requirement.txt", "requirement.txt, which is not in the context; it has requirements.txt;"),
        ("pkg/b.py", "pkg/b.py, which is not in the context; it has pkg/a.py and pkg/deep/b.py;"),
        ("*.csv", "*.csv, which matches no file"),
        ("../other", "../other, which is outside of the context"),
        ("pkg/../../x", "pkg/../../x, which is outside of the context"),
        ("secret.env", "secret.env, which .dockerignore leaves out"),
        ("escape", "escape, a symbolic link to outside of the context"),
        ("escape/passwd", "escape/passwd, a symbolic link to outside of the context"),
        ("broken", "broken, a symbolic link to nothing"),
    ],
)
def test_sources_that_cannot_be_copied(context: Path, source: str, found: str) -> None:
    """Are problems that name file, line and source."""
    (context / ".dockerignore").write_text("secret.env\n")
    (context / "escape").symlink_to("/etc")
    (context / "broken").symlink_to("nowhere")
    sources, problems = BuildContext(context, "Dockerfile").sources(step(source, to="/x"))
    assert sources == []
    assert str(problems[0]).startswith(f"Dockerfile:2: COPY: {found}")


def test_modes_and_links_are_kept_and_chmod_is_honoured(context: Path, tmp_path: Path) -> None:
    """A link inside of a folder stays a link; a link that is named itself is followed."""
    (context / "predict.py").chmod(0o750)
    (context / "pkg/link").symlink_to("a.py")
    (context / "alias.py").symlink_to("predict.py")
    root = tmp_path / "root"
    copy(context, root, step("predict.py", to="/a/"), step("predict.py", to="/b/", mode=0o444))
    copy(context, root, step("pkg", to="/pkg"), step("alias.py", to="/alias.py"))
    assert (root / "a/predict.py").stat().st_mode & 0o777 == 0o750
    assert (root / "b/predict.py").stat().st_mode & 0o777 == 0o444
    assert (root / "pkg/link").readlink() == Path("a.py")
    assert (root / "alias.py").read_text() == "predict.py"
    assert not (root / "alias.py").is_symlink()


def test_a_link_in_the_image_does_not_lead_out_of_it(context: Path, tmp_path: Path) -> None:
    """COPY onto a link writes inside of the image, and over the link itself not through it."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    root.mkdir()
    (root / "data").symlink_to(outside)
    (root / "file").symlink_to(outside / "file")
    copy(context, root, step("predict.py", to="/data/"), step("predict.py", to="/file"))
    assert list(outside.iterdir()) == []
    assert (root / str(outside).lstrip("/") / "predict.py").is_file()


def test_links_of_the_machine_are_followed_inside(tmp_path: Path) -> None:
    """``/bin`` is ``/usr/bin`` where the machine has it so; circles are an error."""
    assert resolve_in_root(tmp_path, "/bin/tool", {"/bin": "usr/bin"}) == tmp_path / "usr/bin/tool"
    assert resolve_in_root(tmp_path, "/a/../../../b", {}) == tmp_path / "b"
    (tmp_path / "x").symlink_to("y")
    (tmp_path / "y").symlink_to("x")
    with pytest.raises(OSError, match="circles"):
        resolve_in_root(tmp_path, "/x/file", {})


def test_the_digest_follows_content_names_and_execute_bits(context: Path) -> None:
    """And nothing else: not times, not other bits of the mode."""

    def digest() -> str:
        return digest_of(BuildContext(context, "Dockerfile").sources(step("pkg", "predict.py", to="/x/"))[0])

    first = digest()
    (context / "predict.py").touch()
    (context / "predict.py").chmod(0o600)
    (context / "secret.env").write_text("changed")
    assert digest() == first
    seen = {first}
    (context / "predict.py").chmod(0o700)
    seen.add(digest())
    (context / "predict.py").write_text("other")
    seen.add(digest())
    (context / "pkg/a.py").rename(context / "pkg/c.py")
    seen.add(digest())
    (context / "pkg/empty").mkdir()
    seen.add(digest())
    assert len(seen) == 5


def test_an_unreadable_ignore_pattern_is_a_fault_of_the_build(context: Path) -> None:
    """All of them are named, with their lines."""
    (context / ".dockerignore").write_text("a\n!\n! \n")
    with pytest.raises(DockerignoreError, match=r"2 problems") as caught:
        BuildContext(context, "Dockerfile")
    assert [problem.where for problem in caught.value.problems] == [".dockerignore:2", ".dockerignore:3"]
