"""One process at a time starts or keeps a site in a state folder."""

from __future__ import annotations

import os
from typing import IO

from stepbridge.cli.local_site.site import SiteError, SiteSettings


def lock_state(settings: SiteSettings) -> IO[str]:
    """Reserve the state folder for this process, and those it forks, until they close the file or end.

    Raises SiteError if another process has it.
    """
    import fcntl  # not on Windows, which `use_project` refuses in words

    settings.state.mkdir(parents=True, exist_ok=True)
    lock = settings.lock.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        found = f"process {state_owner(settings)} starts or keeps a site in this folder"
        raise SiteError(str(settings.state), found, "", "wait until it is up, or run `stepbridge down`") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def state_owner(settings: SiteSettings) -> int | None:
    """The id of the process that has locked the state folder, or None."""
    import fcntl

    try:
        with settings.lock.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read())
    except FileNotFoundError:
        pass
    return None
