"""For an Airflow that mounts this folder as its plugins folder and has no ``stepbridge`` installed.

Where the distribution is installed, its entry point registers the plugin, and this file defines nothing: Airflow loads
the folder first, then the entry points, and takes a second plugin of the same name for an import error.
"""

from __future__ import annotations

from importlib.metadata import entry_points

if "stepbridge" not in entry_points(group="airflow.plugins").names:
    from stepbridge.plugin import StepbridgePlugin as StepbridgePlugin
