"""The model card: the one file that declares a model, ``dags/models/<model>.yaml``.

A card needs at most a name, a schedule, an input and an output; everything else has a default.
"""

from datetime import date, timedelta
from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Self
from zoneinfo import ZoneInfo, available_timezones

import jinja2
from jinja2 import nodes
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from stepbridge.core import defaults, failures, fields
from stepbridge.core.cron import schedule_problem
from stepbridge.core.names import STAGES
from stepbridge.core.notification_targets import channel_of
from stepbridge.core.problems import Path, problems_of, short_repr
from stepbridge.core.secret_values import REMEDY as SECRET_REMEDY
from stepbridge.core.secret_values import secret_in
from stepbridge.core.yaml_document import YamlDocument, read_yaml
from stepbridge.errors import CardError, Problem

EARLIEST_START: Final = date(1900, 1, 1)
MOST_PROBLEMS: Final = 50
"""Of one card, that are told at once."""
MODEL_NAME_LENGTH: Final = 50
SHORTEST_DEADLINE_SECONDS: Final = 60
LATEST_START: Final = date(9000, 1, 1)

_IN_UTC: Final = (
    "ds ds_nodash ts ts_nodash ts_nodash_with_tz logical_date data_interval_start data_interval_end "
    "prev_data_interval_start_success prev_data_interval_end_success"
)
_INTO_A_ZONE: Final = ("in_timezone", "in_tz", "astimezone")

_ModelName = Annotated[
    str,
    fields.matching(
        r"[a-z][a-z0-9]*([_-][a-z0-9]+)*",  # what a DAG id, an S3 prefix, an image tag and a state machine's input take
        f"at most {MODEL_NAME_LENGTH} lower-case letters, digits and single _ or -, beginning with a letter, such as "
        "flight_delay",
        MODEL_NAME_LENGTH,
    ),
]


def _schedule(text: str) -> str:
    problem = schedule_problem(text)
    if problem:
        raise ValueError(problem)
    return text


_timezones = cache(available_timezones)  # which looks into each file of the system's time zones


def _timezone(name: str) -> str:
    if name != "UTC" and name not in _timezones():
        raise ValueError("an IANA time zone such as America/New_York")
    return name


def _project_folder(folder: str) -> str:
    path = PurePosixPath(folder)
    too_long = len(folder) > 1_000 or any(len(part.encode()) > 255 for part in path.parts)
    if not folder or too_long or path.is_absolute() or ".." in path.parts or "\\" in folder:
        raise ValueError("a folder inside the project, relative to its root, such as containers/flight_delay")
    return str(path)


_Folder = Annotated[str, AfterValidator(_project_folder)]


def _key(default: Any, description: str, **limits: Any) -> Any:
    return Field(default, description=description, **limits)


def _notification_targets(targets: tuple[str, ...]) -> tuple[str, ...]:
    for target in targets:
        channel_of(target)
    return targets


class ModelCard(BaseModel):
    """A model's declaration; ``parse_card`` reads one from YAML. docs/model-card.md has its keys' descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: _ModelName = Field(
        description=f"at most {MODEL_NAME_LENGTH} lower-case letters, digits and single `_` or `-`, beginning with a "
        "letter; the same as the file's name"
    )
    description: str = _key("", "what Airflow shows beside the DAG", max_length=1000)
    owner: str = _key("airflow", "the owner of the tasks in Airflow", min_length=1, max_length=200)
    tags: fields.Tags = _key((), "tags of the DAG", max_length=50)
    schedule: Annotated[str, AfterValidator(_schedule)] | None = _key(
        None, "cron expression or preset such as `@daily`; without one the model runs by hand or by asset only"
    )
    timezone: Annotated[str, AfterValidator(_timezone)] = _key("UTC", "IANA time zone of the schedule")
    start_date: Annotated[date, Field(ge=EARLIEST_START, le=LATEST_START)] | None = _key(
        None, f"first day that is scheduled, not before {EARLIEST_START}; needed with `catchup`"
    )
    end_date: date | None = _key(None, "last day that is scheduled")
    catchup: bool = _key(False, "run every interval since `start_date`")
    input_uri: fields.UriTemplate = Field(description="S3 URI, may be a Jinja template")
    output_uri: fields.UriTemplate = Field(description="S3 URI, may be a Jinja template")
    params: fields.Params = _key(
        {}, "more fields of the form: a list of values that each offers, the first being its default; see below"
    )
    stages: fields.Stages = _key(STAGES, f"{', '.join(f'`{stage}`' for stage in STAGES)}, or some of them")
    instance_type: fields.InstanceType = _key(
        defaults.DEFAULT_INSTANCE_TYPE, "instance type of each stage's Processing job"
    )
    volume_size: fields.VolumeSizeGb = _key(defaults.DEFAULT_VOLUME_SIZE_GB, "GB of each job's volume")
    max_runtime: fields.MaxRuntimeSeconds = _key(defaults.DEFAULT_MAX_RUNTIME_SECONDS, "seconds that each job may take")
    environment: fields.Environment = _key(
        {},
        f"environment variables of every stage; at most {fields.ENVIRONMENT_ENTRIES}, names and values at most "
        f"{fields.ENVIRONMENT_TEXT_LENGTH} characters; values may be templates",
    )
    image: fields.ImageUri | None = _key(
        None, "URI of a ready image, used instead of one built from the container folder"
    )
    container: _Folder | None = _key(None, "folder with the Dockerfile, inside the project")
    scripts: _Folder | None = _key(None, "folder with `preprocessing.py` and `postprocessing.py`, inside the project")
    build_args: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$")], str] = _key(
        {}, "build arguments of the image"
    )
    wait_for_input: fields.RunSeconds | None = _key(
        None, "seconds that a run waits for an object below its `input_uri` before it starts; see below"
    )
    max_active_runs: int = _key(1, "runs at the same time", ge=1, le=1000)
    pool: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = _key(
        None, "Airflow pool in which an execution holds slots for as long as it runs; see below"
    )
    pool_slots: int = _key(1, "how many slots of `pool` one execution holds", ge=1, le=1000)
    retries: int = _key(2, "retries of each task; see below which failures are retried", ge=0, le=100)
    retry_delay: fields.RetrySeconds = _key(
        failures.FIRST_RETRY_SECONDS, "seconds to the first retry; each further one waits twice as long"
    )
    max_retry_delay: fields.RetrySeconds = _key(failures.LONGEST_RETRY_SECONDS, "seconds that a retry waits at most")
    dagrun_timeout: fields.RunSeconds | None = _key(
        None, "seconds that a DAG run may take from its start; then it fails, and its execution is stopped"
    )
    allow_empty_output: bool = _key(False, "a run that succeeds and writes nothing is no failure")
    prices: fields.Prices = _key({}, "price of an instance hour, by instance type, for the run report and `max_cost`")
    max_cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = _key(
        None, "a run that may cost more asks before it starts; in the currency of the prices, above 0; see below"
    )
    notify: Annotated[fields.Strings, AfterValidator(_notification_targets)] = _key(
        (), "who is notified of a failure; see below", max_length=20
    )
    deadline: Annotated[int, Field(ge=SHORTEST_DEADLINE_SECONDS, le=defaults.LONGEST_RUN_SECONDS)] | None = _key(
        None, "seconds after a run was queued at which those in `notify` hear that it is not done"
    )

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        problems = []
        if self.image is not None and (self.container is not None or self.build_args):
            problems.append(
                "image is a ready image, so container and build_args have no effect: remove one or the other"
            )
        if self.catchup and self.start_date is None:
            problems.append("catchup runs every interval since start_date, so start_date must be in the card")
        if self.catchup and self.schedule is None:
            problems.append("catchup needs a schedule")
        if self.start_date and self.end_date and self.end_date < self.start_date:
            problems.append(f"end_date {self.end_date} is before start_date {self.start_date}")
        if self.max_retry_delay < self.retry_delay:
            problems.append(f"max_retry_delay {self.max_retry_delay} is less than retry_delay {self.retry_delay}")
        if problem := fields.overlap(self.input_uri, self.output_uri):
            problems.append(problem)
        if self.pool is None and "pool_slots" in self.model_fields_set:
            problems.append("pool_slots are slots of an Airflow pool, so pool must be in the card")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def date_warning(self) -> str:
        """What to say where a card with a time zone of its own uses UTC's date; else empty."""
        templates = (self.input_uri, self.output_uri, *self.environment.values())
        names = sorted({name for template in templates for name in _names_in_utc(template)})
        if not names or self.timezone == "UTC" or ZoneInfo(self.timezone).utcoffset(None) == timedelta(0):
            return ""
        used = f"the templates use UTC ({', '.join(names)})"
        return f"{self.name}: {used}, and the card's timezone is {self.timezone}: is local_ds meant?"

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


def _names_in_utc(template: str) -> set[str]:
    """What of a run's moments and dates in UTC the template uses, unless it puts them into a time zone."""
    try:
        tree = jinja2.Environment(extensions=["jinja2.ext.do"]).parse(template)
    except (jinja2.TemplateError, RecursionError):  # for preflight to tell
        return set()
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr) and call.node.attr in _INTO_A_ZONE:
            call.node.node = nodes.Const(None)
    names = list(tree.find_all(nodes.Name))
    used = {name.name for name in names} - {name.name for name in names if name.ctx == "store"}
    of_run = {each.attr for each in tree.find_all(nodes.Getattr) if each.node == nodes.Name("dag_run", "load")}
    return (used | of_run) & {*_IN_UTC.split()}


def parse_card(text: str, source: str) -> ModelCard:
    """The card that the YAML ``text`` describes; ``source`` is its path, whose stem is the model's name.

    Raises CardError with all problems, each with its file, line and column.
    """
    document = read_yaml(text, source)
    if document.problems and document.value is None:
        raise CardError(source, document.problems)
    if not isinstance(document.value, dict):
        found = Problem(source, short_repr(document.value), "keys and values, such as 'schedule: 0 4 * * *'")
        raise CardError(source, [found])
    values = {str(key): value for key, value in document.value.items()}
    problems = [*document.problems, *_name_problems(values, document), *_secret_problems(values, document)]
    try:
        card = ModelCard.model_validate(values)
    except ValidationError as error:
        problems += problems_of(error, source, KNOWN_KEYS, locate=_locator(error, document))
    if problems:
        problems.sort(key=lambda problem: _line(problem.where))
        if len(problems) > MOST_PROBLEMS:
            problems[MOST_PROBLEMS:] = [Problem(source, f"{len(problems) - MOST_PROBLEMS} problems more")]
        raise CardError(source, problems)
    return card


def _name_problems(values: dict[str, Any], document: YamlDocument) -> list[Problem]:
    """Fill in the name from the file's name; another name in the card is a problem."""
    path = PurePosixPath(document.source)
    if path.suffix not in (".yaml", ".yml"):
        return []
    name = values.setdefault("name", path.stem)
    if name == path.stem:
        return []
    where, excerpt = document.locate_value(("name",))
    remedy = "rename the file or the model"
    return [Problem(where, f"name is {short_repr(name)}", f"{path.stem!r}, the name of the file", remedy, excerpt)]


def _secret_problems(values: dict[str, Any], document: YamlDocument) -> list[Problem]:
    """A problem per value that looks like a secret. The value is not shown, since problems go into logs."""
    problems = []
    for key in ("environment", "build_args"):
        given = values.get(key)
        for name, value in given.items() if isinstance(given, dict) else ():
            what = secret_in(str(name), value) if isinstance(value, str) else None
            if what is not None:
                where, _ = document.locate_value((key, str(name)))
                found = f"{key}.{name} looks like {what}"
                problems.append(Problem(where, found, "no secrets in a model card", SECRET_REMEDY))
    return problems


def _locator(error: ValidationError, document: YamlDocument) -> Any:
    """Unknown keys and refused names are located at their key, everything else at its value."""
    at_key = {tuple(detail["loc"]) for detail in error.errors() if detail["type"] == "extra_forbidden"}

    def locate(path: Path) -> tuple[str, str]:
        return document.locate_key(path) if path in at_key or "[key]" in path else document.locate_value(path)

    return locate


def _line(where: str) -> int:
    parts = where.rsplit(":", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else 0
