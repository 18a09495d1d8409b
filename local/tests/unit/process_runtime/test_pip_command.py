"""RUN pip install, as the arguments of uv."""

from __future__ import annotations

import pytest

from stepbridge_local.runtimes.process.dockerfile.pip_command import (
    CommandRefusedError,
    PipInstall,
    pip_installs,
    shell_commands,
)


def installs(text: str, **variables: str) -> tuple[PipInstall, ...]:
    return pip_installs(shell_commands(text, variables))


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("pip install pandas", ["pandas"]),
        ("pip3 install --no-cache-dir pandas", ["pandas"]),
        ("pip3.11 install -q pandas", ["pandas"]),
        ("/usr/local/bin/pip install pandas", ["pandas"]),
        ("python -m pip install -r requirements.txt", ["--requirements", "requirements.txt"]),
        ("python3 -m pip --no-cache-dir install -rrequirements.txt", ["--requirements", "requirements.txt"]),
        ("pip install -U 'pandas>=2,<3' \"scikit-learn[x]\"", ["--upgrade", "pandas>=2,<3", "scikit-learn[x]"]),
        (
            "pip install --index-url=https://i/simple --no-deps a",
            ["--default-index", "https://i/simple", "--no-deps", "a"],
        ),
        (
            "pip install --extra-index-url https://i -f ./wheels a",
            ["--index", "https://i", "--find-links", "./wheels", "a"],
        ),
        ("pip install --root-user-action=ignore --timeout 60 a", ["a"]),
        ("pip install -c constraints.txt a # why", ["--constraints", "constraints.txt", "a"]),
        ("pip install .", ["."]),
    ],
)
def test_what_pip_is_asked_uv_is_asked(text: str, arguments: list[str]) -> None:
    """Options that change nothing here are left out."""
    assert [list(install.arguments) for install in installs(text)] == [arguments]


def test_several_commands_and_variables() -> None:
    """``&&`` joins; a variable without quotes may hold several words; an assignment in front is kept."""
    found = installs('pip install $PACKAGES&&X=1 pip install "$ONE" ${MISSING:-six}', PACKAGES="a b", ONE="c d")
    assert found == (PipInstall(("a", "b")), PipInstall(("c d", "six"), (("X", "1"),)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("apt-get update && pip install x", "apt-get update"),
        ("pip install x; rm y", "`;`"),
        ("pip install x | tee log", "`|`"),
        ("pip install x || true", "`|`"),
        ("pip install pandas>=2", 'quote a version constraint: "name>=1"'),
        ("pip install $(cat list)", "`$`"),
        ('pip install "$(cat list)"', "command substitution"),
        ("pip install `cat list`", "`"),
        ("pip install x &", "`&`"),
        ("pip install --target /x y", "--target"),
        ("pip install --prefix=/x y", "--prefix=/x"),
        ("pip install", "names nothing to install"),
        ("pip install -r", "-r"),
        ("pip uninstall x", "pip uninstall x"),
        ("pip freeze", "pip freeze"),
        ("python setup.py install", "python setup.py install"),
        ("", "nothing"),
        ("pip install x &&", "nothing"),
        ("pip install 'x", "does not end"),
    ],
)
def test_everything_else_is_refused_and_named(text: str, found: str) -> None:
    """The text of the refusal names what was found."""
    with pytest.raises(CommandRefusedError) as refused:
        installs(text)
    assert found in str(refused.value)
