"""The documentation's links, anchors, file names and module names exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for folder in ("", "docs", "local", "local/docs", "containers/*")
    for page in ROOT.glob(f"{folder}/*.md".lstrip("/"))
)
TOP_LEVEL = ("plugins", "local", "tests", "docs", "asl", "infra", "dags", "scripts", "containers", ".ci")
PACKAGES = {"stepbridge": ROOT / "plugins/stepbridge", "stepbridge_local": ROOT / "local/stepbridge_local"}
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    """The relative links of a page that lead nowhere."""
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield target


def missing_names(page: Path) -> Iterator[str]:
    """The files and modules in backticks that do not exist, in the repository or in the page's distribution."""
    local = page.is_relative_to(ROOT / "local")
    package = PACKAGES["stepbridge_local" if local else "stepbridge"]
    folders = {*TOP_LEVEL, *(path.name for path in package.iterdir() if path.is_dir())}
    for code in CODE.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.fullmatch(r"[\w./-]+/[\w./-]*", code) and code.partition("/")[0] in folders and "my_model" not in code:
            if not any((root / code).exists() for root in (ROOT, ROOT / "local", package)):
                yield code
        elif re.fullmatch(r"(stepbridge|stepbridge_local)(\.[a-z_]+)+", code) and not module_exists(code):
            yield code


def module_exists(dotted: str) -> bool:
    """Whether it is a module, a package, or a name in one."""
    package, *names = dotted.split(".")
    path = PACKAGES[package].joinpath(*names)
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    owner = path.parent / "__init__.py" if path.parent.is_dir() else path.parent.with_suffix(".py")
    return owner.is_file() and re.search(rf"\b{names[-1]}\b", owner.read_text(encoding="utf-8")) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the repository, and to a heading of it where an anchor is given."""
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_modules_in_backticks_exist(page: Path) -> None:
    """What a page names is still there after it was renamed."""
    assert list(missing_names(page)) == []


def test_the_check_finds_what_is_broken(tmp_path: Path) -> None:
    """A missing file, a missing anchor, a missing module and a missing path; fences and addresses are left alone."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, with `code`\n[a](#a-heading-with-code) [b](nowhere.md) [c](#nowhere) [d](https://example.com)\n"
        "`stepbridge.nowhere` `stepbridge.core` `docs/nowhere.md` `docs/` `dags/models/<model>.yaml`\n"
        "```\n[e](nowhere.md)\n```\n"
    )
    assert list(broken_links(page)) == ["nowhere.md", "#nowhere"]
    assert list(missing_names(page)) == ["stepbridge.nowhere", "docs/nowhere.md"]
