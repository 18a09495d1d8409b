"""``python -m stepbridge_local``: the ``stepbridge-local`` command."""

from __future__ import annotations

from stepbridge_local.cli.main import main

if __name__ == "__main__":
    main()
