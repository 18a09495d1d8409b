"""The form that Airflow shows when a DAG is triggered by hand, and the rules that it checks the answers by.

Each Param is a JSON Schema: Airflow's page makes an input field of it, its API checks every DAG run's configuration
against it (https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/params.html).
"""

from __future__ import annotations

from typing import Final

from airflow.sdk import Param

from stepbridge.core.model_card import ModelCard

__all__ = ["INSTANCE_TYPE_PATTERN", "URI_PATTERN", "form_params"]

# Both are read by Python (the API) and by JavaScript (the page), so they keep to what the two have in common.
URI_PATTERN: Final = r"^(s3://\S|\{[{%]).*$"
INSTANCE_TYPE_PATTERN: Final = r"^ml\.[a-z][a-z0-9-]*\.([0-9]*x?large|medium|metal)$"

URI_LENGTH: Final = 1024
VOLUME_SIZE_GB: Final = (1, 16384)
MAX_RUNTIME_SECONDS: Final = (1, 777600)


def form_params(card: ModelCard) -> dict[str, Param]:
    """The run's parameters by name, in the order in which the form shows them, filled in with the card's values.

    The URIs hold the card's templates as they stand; StartExecutionOperator renders them when it runs.
    """
    return {
        "input_uri": _uri(card.input_uri, "Input", "S3 URI of the input. Jinja expressions are rendered in the run."),
        "output_uri": _uri(card.output_uri, "Output", "S3 URI that the output goes to. Jinja expressions likewise."),
        "instance_type": Param(
            card.instance_type,
            type="string",
            title="Instance type",
            description="Of the Processing job of each stage, such as ml.m5.large.",
            pattern=INSTANCE_TYPE_PATTERN,
        ),
        "volume_size": _integer(card.volume_size, VOLUME_SIZE_GB, "Volume size", "GB, for each stage."),
        "max_runtime": _integer(card.max_runtime, MAX_RUNTIME_SECONDS, "Maximum runtime", "Seconds, for each stage."),
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
    }


def _uri(template: str, title: str, description: str) -> Param:
    return Param(
        template,
        type="string",
        title=title,
        description=description,
        pattern=URI_PATTERN,
        maxLength=URI_LENGTH,
    )


def _integer(value: int, bounds: tuple[int, int], title: str, unit: str) -> Param:
    lowest, highest = bounds
    description = f"{unit} {lowest} to {highest}."
    return Param(value, type="integer", title=title, description=description, minimum=lowest, maximum=highest)
