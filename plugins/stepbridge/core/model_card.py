"""The model card: the one file that declares a model, ``dags/models/<model>.yaml``.

A card needs at most a name, a schedule, an input and an output; everything else has a default.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from stepbridge.core.cron import schedule_problem
from stepbridge.core.fields import (
    DEFAULT_INSTANCE_TYPE,
    DEFAULT_MAX_RUNTIME_SECONDS,
    DEFAULT_VOLUME_SIZE_GB,
    Environment,
    ImageUri,
    InstanceType,
    MaxRuntimeSeconds,
    Prices,
    Stages,
    Strings,
    UriTemplate,
    VolumeSizeGb,
)
from stepbridge.core.marked_yaml import MarkedDocument, read_marked_yaml
from stepbridge.core.names import STAGES
from stepbridge.core.notification_targets import notification_target
from stepbridge.core.problems import Path, problems_of, shown
from stepbridge.core.secret_values import REMEDY as SECRET_REMEDY
from stepbridge.core.secret_values import secrets_in
from stepbridge.errors import CardError, Problem

__all__ = ["DEFAULT_START_DATE", "ModelCard", "parse_card"]

DEFAULT_START_DATE: Final = date(1980, 1, 1)
"""Long ago: Airflow gives a run from before its DAG's start no tasks at all, and then calls it a success. Only
``catchup`` needs a real one."""

MODEL_NAME_LENGTH: Final = 50
LONGEST_DEADLINE_SECONDS: Final = 31 * 24 * 3600
LONGEST_WAIT_SECONDS: Final = 31 * 24 * 3600

# What a DAG id, an S3 prefix, an image tag and a state machine's input all take.
_MODEL_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


def _model_name(name: str) -> str:
    if len(name) > MODEL_NAME_LENGTH or not _MODEL_NAME.fullmatch(name):
        limit = f"at most {MODEL_NAME_LENGTH} lower-case letters, digits and single _ or -"
        raise ValueError(f"{limit}, beginning with a letter, such as flight_delay")
    return name


def _schedule(text: str) -> str:
    problem = schedule_problem(text)
    if problem:
        raise ValueError(problem)
    return text


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def _timezone(name: str) -> str:
    if name != "UTC" and name not in _timezones():
        raise ValueError("an IANA time zone such as America/New_York")
    return name


def _project_folder(folder: str) -> str:
    path = PurePosixPath(folder)
    if not folder or path.is_absolute() or ".." in path.parts or "\\" in folder:
        raise ValueError("a folder inside the project, relative to its root, such as containers/flight_delay")
    return str(path)


_Folder = Annotated[str, AfterValidator(_project_folder)]


def _notification_targets(targets: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(notification_target(target) for target in targets)


class ModelCard(BaseModel):
    """A model's declaration. ``parse_card`` reads one from YAML.

    ``input_uri``, ``output_uri`` and the values of ``environment`` are Jinja templates, rendered when a task runs.
    ``volume_size`` is in GB and ``max_runtime`` in seconds, both for each stage. ``schedule`` is a cron expression in
    ``timezone``, or None for a model that is run by hand; runs are scheduled for the days from ``start_date`` to
    ``end_date``, both included. ``image`` is a ready image that takes the place of the container folder.
    ``prices`` are what an instance hour costs, by instance type, for the run report; the Airflow Variable
    ``stepbridge_prices`` has them for all models. ``allow_empty_output``: a run may succeed that wrote nothing.
    ``wait_for_input`` are the seconds that a run waits for its input. ``pool`` is the Airflow pool in which an
    execution holds ``pool_slots`` for as long as it runs. A run that may cost more than ``max_cost`` asks first.
    ``notify`` are those who are told of a task that failed for good, and of a run that is still under way ``deadline``
    seconds after it was queued.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, AfterValidator(_model_name)]
    description: Annotated[str, StringConstraints(max_length=1000)] = ""
    owner: Annotated[str, StringConstraints(min_length=1, max_length=200)] = "airflow"
    tags: Annotated[Strings, Field(max_length=50)] = ()
    schedule: Annotated[str, AfterValidator(_schedule)] | None = None
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    start_date: date = DEFAULT_START_DATE
    end_date: date | None = None
    catchup: bool = False
    input_uri: UriTemplate
    output_uri: UriTemplate
    stages: Stages = STAGES
    instance_type: InstanceType = DEFAULT_INSTANCE_TYPE
    volume_size: VolumeSizeGb = DEFAULT_VOLUME_SIZE_GB
    max_runtime: MaxRuntimeSeconds = DEFAULT_MAX_RUNTIME_SECONDS
    environment: Environment = Field(default_factory=dict)
    image: ImageUri | None = None
    container: _Folder | None = None
    scripts: _Folder | None = None
    build_args: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$")], str] = Field(default_factory=dict)
    wait_for_input: Annotated[int, Field(ge=1, le=LONGEST_WAIT_SECONDS)] | None = None
    max_active_runs: Annotated[int, Field(ge=1, le=1000)] = 1
    pool: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    pool_slots: Annotated[int, Field(ge=1, le=1000)] = 1
    retries: Annotated[int, Field(ge=0, le=100)] = 2
    allow_empty_output: bool = False
    prices: Prices = Field(default_factory=dict)
    max_cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    notify: Annotated[Strings, AfterValidator(_notification_targets), Field(max_length=20)] = ()
    deadline: Annotated[int, Field(ge=60, le=LONGEST_DEADLINE_SECONDS)] | None = None

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        faults = []
        if self.image is not None and (self.container is not None or self.build_args):
            faults.append("image is a ready image, so container and build_args have no effect: remove one or the other")
        if self.catchup and "start_date" not in self.model_fields_set:
            faults.append("catchup runs every interval since start_date, so start_date must be in the card")
        if self.catchup and self.schedule is None:
            faults.append("catchup needs a schedule")
        if self.end_date is not None and self.end_date < self.start_date:
            faults.append(f"end_date {self.end_date} is before start_date {self.start_date}")
        if self.pool is None and "pool_slots" in self.model_fields_set:
            faults.append("pool_slots are slots of an Airflow pool, so pool must be in the card")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def container_folder(self) -> str:
        """The build context, relative to the project's root: ``containers/<name>`` unless the card says otherwise."""
        return self.container or f"containers/{self.name}"

    @property
    def scripts_folder(self) -> str:
        """The scripts, relative to the project's root: ``scripts/<name>`` unless the card says otherwise."""
        return self.scripts or f"scripts/{self.name}"

    @property
    def builds_image(self) -> bool:
        """Whether a run needs an image that is built from the container folder."""
        return self.image is None and "inference" in self.stages

    @property
    def uploads_scripts(self) -> bool:
        """Whether a run needs scripts in S3."""
        return set(self.stages) != {"inference"}


KNOWN_KEYS: Final = tuple(ModelCard.model_fields)


def parse_card(text: str, source: str) -> ModelCard:
    """The card that the YAML ``text`` describes; ``source`` is its path, whose stem is the model's name.

    Raises CardError with all problems, each with its file, line and column.
    """
    document = read_marked_yaml(text, source)
    if document.problems and document.value is None:
        raise CardError(source, document.problems)
    if not isinstance(document.value, dict):
        found = Problem(source, shown(document.value), "keys and values, such as 'schedule: 0 4 * * *'")
        raise CardError(source, [found])
    values = {str(key): value for key, value in document.value.items()}
    problems = [*document.problems, *_name_problems(values, document), *_secret_problems(values, document)]
    try:
        card = ModelCard.model_validate(values)
    except ValidationError as fault:
        problems += problems_of(fault, source, KNOWN_KEYS, locate=_locator(fault, document))
    if problems:
        raise CardError(source, sorted(problems, key=lambda problem: _line(problem.where)))
    return card


def _name_problems(values: dict[str, Any], document: MarkedDocument) -> list[Problem]:
    """Fill in the name from the file's; a card that names another model is a problem."""
    path = PurePosixPath(document.source)
    if path.suffix not in (".yaml", ".yml"):
        return []
    name = values.setdefault("name", path.stem)
    if name == path.stem:
        return []
    where, excerpt = document.locate_value(("name",))
    remedy = "rename the file or the model"
    return [Problem(where, f"name is {shown(name)}", f"{path.stem!r}, the name of the file", remedy, excerpt)]


def _secret_problems(values: dict[str, Any], document: MarkedDocument) -> list[Problem]:
    """Values that look like secrets; they are not shown, since what tells of a problem goes into logs."""
    problems = []
    for key in ("environment", "build_args"):
        given = values.get(key)
        texts = {str(name): value for name, value in given.items()} if isinstance(given, dict) else {}
        found = secrets_in({name: value for name, value in texts.items() if isinstance(value, str)})
        for name, what in found.items():
            where, _ = document.locate_value((key, name))
            problems.append(
                Problem(where, f"{key}.{name} looks like {what}", "no secrets in a model card", SECRET_REMEDY)
            )
    return problems


def _locator(fault: ValidationError, document: MarkedDocument) -> Any:
    """Unknown keys and refused names stand at their key, everything else at its value."""
    at_key = {tuple(error["loc"]) for error in fault.errors() if error["type"] == "extra_forbidden"}

    def locate(path: Path) -> tuple[str, str]:
        return document.locate_key(path) if path in at_key or "[key]" in path else document.locate_value(path)

    return locate


def _line(where: str) -> int:
    parts = where.rsplit(":", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else 0
