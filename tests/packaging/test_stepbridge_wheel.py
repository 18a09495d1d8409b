"""The wheel of stepbridge, installed without extras and without the clone: what a user gets from ``pip install``."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from stepbridge import __version__

from .environments import ROOT, Environment, made_once
from .hand_written import assert_a_hand_written_dag_succeeds


def test_the_plugin_is_loaded_once_with_its_listener_and_its_links(installed: Environment) -> None:
    """By the entry point, without an import error."""
    plugins = json.loads(installed.run("airflow plugins --output json"))
    (found,) = (plugin for plugin in plugins if plugin["name"] == "stepbridge")
    assert found["listeners"] == ["stepbridge.listeners.listener.StopListener"]
    assert len(found["operator_extra_links"]) == 4
    assert "EntryPoint" in str(found["source"])


@pytest.mark.parametrize("distribution", ["installed", pytest.param("copied", marks=pytest.mark.long)])
def test_a_mounted_plugins_folder_registers_the_plugin_unless_the_wheel_does(
    installed: Environment, stepbridge_folder: Path, shared: Path, distribution: str
) -> None:
    """Never both: Airflow takes a second plugin of the same name for an import error. One listener each way."""
    environment = installed
    if distribution == "copied":
        venv = made_once(
            shared / "without-stepbridge", lambda folder: _copy_without_stepbridge(stepbridge_folder, folder)
        )
        environment = Environment(venv, installed.home)
    script = """
import json
from airflow import plugins_manager
from airflow.listeners.listener import get_listener_manager
plugins, errors = plugins_manager._get_plugins()
sources = [str(plugin.source) for plugin in plugins if plugin.name == "stepbridge"]
listeners = [type(plugin).__module__ for plugin in get_listener_manager().pm.get_plugins()]
print(json.dumps([sources, errors, sum(name.startswith("stepbridge.") for name in listeners)]))
"""
    variables = {"AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins")}
    printed = environment.run(["python", "-c", script], variables)
    (source,), errors, listeners = json.loads(printed.splitlines()[-1])
    folder = "$PLUGINS_FOLDER/stepbridge_plugin.py"
    assert (source == folder) == (distribution == "copied"), source
    assert errors == {}
    assert listeners == 1


def _copy_without_stepbridge(source: Path, folder: Path) -> None:
    """An environment that has all that stepbridge requires, and not stepbridge."""
    folder.mkdir()
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to((source / "bin/python").resolve())
    (folder / "pyvenv.cfg").write_text((source / "pyvenv.cfg").read_text())
    (packages,) = source.glob("lib/python*/site-packages")
    target = folder / packages.relative_to(source)
    target.mkdir(parents=True)
    for entry in packages.iterdir():
        if not entry.name.startswith("stepbridge"):
            (target / entry.name).symlink_to(entry)


def test_airflow_lists_the_provider_and_its_setting(installed: Environment) -> None:
    """With the wheel's version, its modules, and the one option of the section [stepbridge]."""
    (row,) = (
        row
        for row in json.loads(installed.run("airflow providers list --output json"))
        if row["package_name"] == "stepbridge"
    )
    assert row["version"] == __version__
    (full,) = json.loads(installed.run("airflow providers get stepbridge --full --output json"))
    assert list(full["config"]["stepbridge"]["options"]) == ["project_root"]
    (packages,) = installed.folder.glob("lib/python*/site-packages")
    for part in ("operators", "sensors", "triggers", "hooks"):
        for module in full[part][0]["python-modules"]:
            assert (packages / f"{module.replace('.', '/')}.py").is_file(), module


def test_the_command_works_without_extras_and_names_the_one_that_is_missing(installed: Environment) -> None:
    """Help lists every subcommand; those that need the local AWS say how to install it."""
    text = installed.run("stepbridge --help")
    assert all(name in text for name in ("init", "deploy", "preflight", "up", "demo", "local"))
    assert installed.run("stepbridge --version").split() == ["stepbridge", __version__]
    installed.run("stepbridge init project")
    for command in ("local up", "up", "demo"):
        done = replace(installed, home=installed.home / "project").try_run(f"stepbridge {command}")
        assert done.returncode != 0
        assert "pip install 'stepbridge[local]'" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_every_module_can_be_imported(installed: Environment) -> None:
    """Nothing that is imported is of an extra or of dev, but for what the demo of the clone needs."""
    installed.import_every_module()


def test_both_wheels_ship_their_types_and_their_license(wheels: Path) -> None:
    """PEP 561's marker and the license's text; no test and no cache."""
    for package in ("stepbridge", "stepbridge_local"):
        (wheel,) = wheels.glob(f"{package}-*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        assert f"{package}/py.typed" in names
        assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
        assert [name for name in names if "/tests/" in name or name.endswith(".pyc")] == []


def test_a_new_project_deploys_and_a_hand_written_dag_runs_in_it(installed: Environment, local_aws: str) -> None:
    """``init``, a dry run that changes nothing, ``deploy``, and a DAG whose execution is SUCCEEDED."""
    installed.run("stepbridge init project")
    planned = installed.try_run(
        f"stepbridge deploy --project project --endpoint-url {local_aws} --stack-name wheel --dry-run"
    )
    assert planned.returncode == 0, planned.stderr
    assert "create stack wheel" in planned.stderr
    cloudformation = boto3.Session("local", "local", region_name="us-east-1").client(
        "cloudformation", endpoint_url=local_aws
    )
    assert "wheel" not in [stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]]
    assert_a_hand_written_dag_succeeds(installed, local_aws, "wheel")
