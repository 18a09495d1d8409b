"""The example's own script that writes days of real flights, as a module of the tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "containers/flight_delay/flight_data.py"

_spec = importlib.util.spec_from_file_location("flight_data", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

FIRST_DAY, LAST_DAY = _module.FIRST_DAY, _module.LAST_DAY
main, write_day, write_days = _module.main, _module.write_day, _module.write_days
