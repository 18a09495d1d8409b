"""Starts processes quickly: they fork from one that has imported everything that a local AWS needs.

Importing it takes four seconds of a core: two before the first request, two with the first requests. The fork server of
``multiprocessing`` does that once for each process that tests (``preloaded``), answers no request itself, and has one
thread, so that every child begins with moto's backends empty.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.process import parent_process
from pathlib import Path
from signal import SIGTERM
from typing import Any, TypeVar

__all__ = ["run_in_child", "start_child"]

Result = TypeVar("Result")


def start_child(function: Callable[..., None], *arguments: Any, log: Path) -> ForkServerProcess:
    """A new process that runs the importable function. Its output, and that of its children, is appended to ``log``.

    It has the current environment and working directory of this process, and gets SIGTERM when this process ends.
    """
    surroundings = (dict(os.environ), str(Path.cwd()))
    child = _context().Process(target=_run, args=(log, surroundings, function, arguments), daemon=True)
    child.start()
    return child


def run_in_child(function: Callable[..., Result], *arguments: Any) -> Result:
    """Runs the importable function in a new process. Returns its result, or raises its exception."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1, mp_context=_context(), initializer=_forget_parent) as pool:
        return pool.submit(function, *arguments).result(timeout=240)


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["stepbridge_local.testing.preloaded"])
    return context


def _run(
    log: Path, surroundings: tuple[dict[str, str], str], function: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    with log.open("ab", buffering=0) as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    environment, working_directory = surroundings
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(working_directory)
    _forget_parent()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function(*arguments)
    finally:
        atexit._run_exitfuncs()  # a forked child leaves without


def _forget_parent() -> None:
    """Otherwise all children would generate the same identifiers, and run their parent's exit handlers."""
    from moto.moto_api._internal import mock_random

    mock_random.seed()
    atexit._clear()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), SIGTERM)
