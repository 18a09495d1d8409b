"""For the whole test session: no deadlines for hypothesis."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says more about what else runs on the machine than about the code.
settings.register_profile("stepbridge-local", deadline=None)
settings.load_profile("stepbridge-local")
