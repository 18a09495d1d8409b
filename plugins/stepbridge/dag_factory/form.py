"""The form that Airflow shows when a DAG is triggered by hand, and the rules that Airflow checks its values by.

Each Param is a JSON Schema. Airflow's page makes an input field of it, and its API checks every DAG run's configuration
against it: https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/params.html.
"""

from airflow.sdk import Param

from stepbridge.core import defaults, fields
from stepbridge.core.instance_types import INSTANCE_TYPES
from stepbridge.core.model_card import ModelCard


def form_params(card: ModelCard) -> dict[str, Param]:
    """The run's parameters by name, in the order of the form, filled in with the card's values.

    The URIs are the card's templates, not rendered: StartExecutionOperator renders them when it runs.
    """
    return {
        "input_uri": _uri(card.input_uri, "Input", "S3 URI of the input. Jinja expressions are rendered in the run."),
        "output_uri": _uri(card.output_uri, "Output", "S3 URI that the output goes to. Jinja expressions likewise."),
        "instance_type": Param(
            card.instance_type,
            type="string",
            title="Instance type",
            description=f"Of the Processing job of each stage, such as {defaults.DEFAULT_INSTANCE_TYPE}.",
            format=fields.INSTANCE_TYPE_FORMAT,  # before the pattern: the first that does not match is told
            pattern=f"^{fields.INSTANCE_TYPE_PATTERN}$",
            examples=list(INSTANCE_TYPES),
        ),
        "volume_size": _integer(card.volume_size, defaults.VOLUME_SIZE_GB, "Volume size", "GB, for each stage."),
        "max_runtime": _integer(
            card.max_runtime, defaults.MAX_RUNTIME_SECONDS, "Maximum runtime", "Seconds, for each stage."
        ),
        "stages": Param(
            list(card.stages),
            type="array",
            title="Stages",
            description="The stages to run, in their own order. The first of them reads the input.",
            items={"type": "string", "enum": list(card.stages)},
            examples=list(card.stages),  # makes the page show a list to choose from
            minItems=1,
            uniqueItems=True,
        ),
        **{name: _offered(name, values) for name, values in card.params.items()},
    }


def _offered(name: str, values: tuple[str, ...]) -> Param:
    title = name.replace("_", " ").capitalize()
    return Param(values[0], type="string", title=title, examples=list(values), maxLength=fields.PARAM_LENGTH)


def _uri(template: str, title: str, description: str) -> Param:
    return Param(
        template,
        type="string",
        title=title,
        description=description,
        format=fields.URI_FORMAT,
        pattern=f"^{fields.URI_TEMPLATE_PATTERN}$",
        maxLength=fields.S3_URI_LENGTH,
    )


def _integer(value: int, bounds: defaults.Bounds, title: str, unit: str) -> Param:
    description = f"{unit} {bounds}."
    return Param(value, type="integer", title=title, description=description, minimum=bounds.low, maximum=bounds.high)
