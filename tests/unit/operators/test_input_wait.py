"""When the wait for input began: only a clear of the wait itself starts it again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stepbridge.sensors.input import BEGAN_KEY_0_1, wait_began_at


class Store(dict[str, Any]):
    """A task's state store."""

    def set(self, key: str, value: Any, **_: Any) -> None:
        self[key] = value


@pytest.fixture
def context() -> Any:
    ti, run = SimpleNamespace(max_tries=3, try_number=1), SimpleNamespace(clear_number=0)
    return {"ti": ti, "dag_run": run, "task_state_store": Store()}


def test_a_retry_keeps_it(context: Any) -> None:
    """Whatever else of the run was cleared meanwhile: that raises the run's clear number, not this task's max_tries."""
    began_at = wait_began_at(context)
    context["ti"].try_number = 2
    context["dag_run"].clear_number = 1
    assert wait_began_at(context) == began_at


def test_a_clear_of_the_wait_starts_it_again(context: Any) -> None:
    """Once: its own retries keep the new one."""
    began_at = wait_began_at(context)
    context["ti"].max_tries = 4
    again = wait_began_at(context)
    assert again > began_at
    assert wait_began_at(context) == again


@pytest.mark.parametrize(("clear_number", "kept"), [(0, True), (1, False)])
def test_a_wait_that_began_under_0_1_0(context: Any, clear_number: int, kept: bool) -> None:
    """It is kept unless the run was cleared since, as far as that version's record can say."""
    context["task_state_store"][BEGAN_KEY_0_1] = "0 1700000000.5"
    context["dag_run"].clear_number = clear_number
    assert (wait_began_at(context) == 1700000000.5) is kept
