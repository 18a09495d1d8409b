"""How packages are installed by this repository itself."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PLACES = ("Makefile", ".ci/run", ".ci/pythons", ".ci/docker-engine", "containers/airflow/Dockerfile")
INSTALL = re.compile(r"(?:pip|uv) (?:pip )?(?:install|sync)\b[^&;]*")


def test_everything_is_installed_with_hashes() -> None:
    """uv too: by pip, from the lines of the lock; only the project's own folders have none."""
    found = 0
    for place in PLACES:
        text = (ROOT / place).read_text().replace("\\\n", " ")
        for line in text.splitlines():
            for command in INSTALL.findall(line) if not line.lstrip().startswith("#") else []:
                found += 1
                assert "--require-hashes" in command or "--no-deps" in command, f"{place}: {command}"
    assert found >= 4


def test_the_lock_pins_uv_with_hashes_and_names_no_index() -> None:
    """What `make` installs first."""
    lock = (ROOT / "requirements.lock").read_text()
    (block,) = re.findall(r"^uv==[^\n]*\\\n(?:    .*\n)+", lock, re.MULTILINE)
    assert block.count("--hash=sha256:") > 3
    assert "://" not in lock
