"""The form of a run: what it shows and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError

from stepbridge.core.execution_input import ExecutionInput
from stepbridge.core.model_card import ModelCard, parse_card
from stepbridge.dag_factory.form import form_params
from stepbridge.plugin import StepbridgePlugin

CARD = """
input_uri: "s3://{{ var.json.stepbridge.bucket }}/in/{{ ds }}/"
output_uri: "{{ var.value.output }}{{ ds }}/"
stages: [preprocessing, inference]
instance_type: ml.c5n.18xlarge
volume_size: 50
max_runtime: 600
"""


@pytest.fixture
def card() -> ModelCard:
    """A card with a value of its own in each key of the form."""
    return parse_card(CARD, "dags/models/sales.yaml")


def test_the_form_is_filled_in_with_the_card(card: ModelCard) -> None:
    """Values and templates stand in the form as they stand in the card, and Airflow accepts them as they are."""
    params = ParamsDict(form_params(card))
    assert params.validate() == {
        "input_uri": "s3://{{ var.json.stepbridge.bucket }}/in/{{ ds }}/",
        "output_uri": "{{ var.value.output }}{{ ds }}/",
        "instance_type": "ml.c5n.18xlarge",
        "volume_size": 50,
        "max_runtime": 600,
        "stages": ["preprocessing", "inference"],
    }


def test_every_key_of_the_form_is_one_of_the_execution_input(card: ModelCard) -> None:
    """The form has no key that an execution would not take."""
    assert form_params(card).keys() <= ExecutionInput.model_fields.keys()


def test_each_field_has_a_type_a_title_and_a_description(card: ModelCard) -> None:
    """Airflow's page can make a labelled input field of each."""
    params = form_params(card)
    types = {name: param.schema["type"] for name, param in params.items()}
    assert types == {
        "input_uri": "string",
        "output_uri": "string",
        "instance_type": "string",
        "volume_size": "integer",
        "max_runtime": "integer",
        "stages": "array",
    }
    assert all(param.schema["title"] and param.description for param in params.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_uri", "/data/flights"),
        ("input_uri", "s3://"),
        ("input_uri", ""),
        ("input_uri", None),
        ("output_uri", "s3://bucket/" + "x" * 1024),
        ("instance_type", "m5.large"),
        ("instance_type", "ml.m5.enormous"),
        ("volume_size", 0),
        ("volume_size", 16385),
        ("volume_size", "30"),
        ("max_runtime", 0),
        ("max_runtime", 777601),
        ("max_runtime", 1.5),
        ("stages", []),
        ("stages", ["preprocessing", "preprocessing"]),
        ("stages", ["postprocessing"]),  # not one of the card's
        ("stages", "preprocessing"),
    ],
)
def test_what_no_execution_could_take_is_refused(card: ModelCard, name: str, value: Any) -> None:
    """Airflow refuses a run with such a parameter."""
    with pytest.raises(ParamValidationError):
        form_params(card)[name].resolve(value)


@pytest.mark.parametrize(
    "instance_type",
    [
        *("ml.t3.medium", "ml.m5.large", "ml.m5.xlarge", "ml.p4d.24xlarge", "ml.g4dn.metal", "ml.trn1.2xlarge"),
        *("m5.large", "ml.m5", "ml.m5.huge", "ml.M5.large", "ml.m5.large "),
    ],
)
def test_card_and_form_agree_about_instance_types(instance_type: str, card: ModelCard) -> None:
    """What the form accepts is what the execution input accepts."""
    values = {"input_uri": "s3://bucket/in/", "output_uri": "s3://bucket/out/", "instance_type": instance_type}
    try:
        ModelCard.model_validate({"name": "sales", **values})
        in_card = True
    except ValueError:
        in_card = False
    accepted = form_params(card)["instance_type"].resolve(instance_type, suppress_exception=True)
    assert (accepted == instance_type) is in_card


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "input_uri",
            "/data",
            "'/data' is not valid; expected: S3 URI such as s3://bucket/prefix/, or an expression that gives one",
        ),
        ("output_uri", "bucket", "'bucket' is not valid; expected: S3 URI such as s3://bucket/prefix/"),
        ("instance_type", "m5.large", "'m5.large' is not valid; expected: SageMaker instance type such as ml.m5.large"),
        ("volume_size", 0, "0 is less than the minimum of 1"),
        ("volume_size", "30", "'30' is not of type 'integer'"),
        ("stages", ["other"], "'other' is not one of ['preprocessing', 'inference']"),
    ],
)
def test_airflow_refuses_in_words(card: ModelCard, name: str, value: Any, words: str) -> None:
    """No pattern has to be read, with the plugin that Airflow loads; without it a pattern refuses the same."""
    StepbridgePlugin.on_load()
    with pytest.raises(ParamValidationError) as raised:
        form_params(card)[name].resolve(value)
    assert str(raised.value).startswith(words)
    assert len(str(raised.value).splitlines()) < 15, "Airflow's page shows all of it, above the form"


def test_the_form_offers_instance_types_and_what_the_card_lists(card: ModelCard) -> None:
    """As suggestions: others may be typed."""
    params = form_params(card.model_copy(update={"params": {"flight_day": ("2013-07-01", "2013-07-02")}}))
    assert {"ml.m5.large", "ml.g5.xlarge"} <= set(params["instance_type"].schema["examples"])
    assert (params["flight_day"].value, params["flight_day"].schema["title"]) == ("2013-07-01", "Flight day")
    assert params["flight_day"].schema["examples"] == ["2013-07-01", "2013-07-02"]
    assert params["flight_day"].resolve("2013-12-31") == "2013-12-31"
