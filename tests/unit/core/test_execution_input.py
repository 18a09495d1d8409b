"""The execution input keeps AWS's limits and reports all its problems at once."""

import json
import pickle

import pytest

from stepbridge.core.execution_input import ExecutionInput, parse_execution_input
from stepbridge.errors import ExecutionInputError

NINE_KEYS = {
    "input_uri": "s3://bucket/in/2013-06-01/",
    "output_uri": "s3://bucket/out/2013-06-01/",
    "code_uri": "s3://bucket/code/",
    "custom_image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/models@sha256:" + "0" * 64,
    "scikit_image_uri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3",
    "role": "arn:aws:iam::123456789012:role/service-role/processing",
    "instance_type": "ml.m5.xlarge",
    "volume_size": 50,
    "max_runtime": 7200,
}


def problems(**changes):
    with pytest.raises(ExecutionInputError) as caught:
        parse_execution_input({**NINE_KEYS, **changes})
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems
    return [str(problem).removeprefix("execution input: ") for problem in caught.value.problems]


def test_nine_keys_are_enough():
    """The documented keys make an input, with all three stages."""
    found = parse_execution_input(NINE_KEYS)
    assert found.stages == ("preprocessing", "inference", "postprocessing")
    assert json.loads(found.to_json()) == {**NINE_KEYS, "stages": list(found.stages), "environment": {}, "tags": {}}


def test_sizes_have_defaults():
    """Instance type, volume and maximum runtime may be left out."""
    given = {
        key: value for key, value in NINE_KEYS.items() if key not in ("instance_type", "volume_size", "max_runtime")
    }
    found = parse_execution_input(given)
    assert (found.instance_type, found.volume_size, found.max_runtime) == ("ml.m5.large", 30, 3600)


def test_equal_inputs_have_one_text_and_digest():
    """Order of keys and of stages, and defaults that are written out, make no difference."""
    one = parse_execution_input({**NINE_KEYS, "stages": ["inference", "preprocessing"]})
    other = parse_execution_input(
        {**dict(reversed(NINE_KEYS.items())), "stages": ["preprocessing", "inference"], "environment": {}, "tags": {}}
    )
    assert one.to_json() == other.to_json()
    assert one.digest() == other.digest()
    assert one.digest() != parse_execution_input(NINE_KEYS).digest()
    assert ExecutionInput.model_validate_json(one.to_json()) == one


def test_the_digest_of_a_known_input_stays():
    """It is part of the execution's name, by which a retry finds what an earlier version started."""
    expected = "aa2403d3fc7d36faf685555147e69c6b11e4150b97a4089fae951ed49091a055"
    assert parse_execution_input(NINE_KEYS).digest() == expected


def test_single_stage_needs_only_what_it_uses():
    """Inference alone needs no scripts; preprocessing alone needs no image of its own."""
    scripts = ("code_uri", "scikit_image_uri")
    inference = {key: value for key, value in NINE_KEYS.items() if key not in scripts}
    assert parse_execution_input({**inference, "stages": ["inference"]}).code_uri is None
    assert parse_execution_input({**NINE_KEYS, "custom_image_uri": None, "stages": ["preprocessing"]})


def test_stage_without_what_it_needs():
    """What is missing is named together with the stages that need it."""
    assert problems(code_uri=None, custom_image_uri=None) == [
        "code_uri, custom_image_uri missing, which the stages preprocessing, inference, postprocessing need"
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"volume_size": 0}, ["volume_size is 0; expected greater than or equal to 1"]),
        ({"volume_size": 16385}, ["volume_size is 16385; expected less than or equal to 16384"]),
        ({"volume_size": "30"}, ["volume_size is '30'; expected a valid integer"]),
        ({"max_runtime": 0}, ["max_runtime is 0; expected greater than or equal to 1"]),
        ({"max_runtime": 777601}, ["max_runtime is 777601; expected less than or equal to 777600"]),
        ({"max_runtime": True}, ["max_runtime is True; expected a valid integer"]),
        ({"stages": []}, ["stages is []; expected at least one stage of preprocessing, inference, postprocessing"]),
        ({"stages": ["inference", "inference"]}, ["stages is ['inference', 'inference']; expected each stage once"]),
        ({"stages": "inference"}, ["stages is 'inference'; expected a list of strings"]),
        (
            {"input_uri": "s3://b/{{ ds }}"},
            ["input_uri is 's3://b/{{ ds }}'; expected a rendered S3 URI; this one still holds a Jinja expression"],
        ),
        ({"output_uri": "/tmp"}, ["output_uri is '/tmp'; expected an S3 URI such as s3://bucket/prefix/"]),
        (
            {"role": "admin"},
            ["role is 'admin'; expected the ARN of an IAM role, such as arn:aws:iam::123456789012:role/name"],
        ),
        (
            {"instance_type": "m5.large"},
            ["instance_type is 'm5.large'; expected a SageMaker instance type such as ml.m5.large"],
        ),
        (
            {"environment": {"A": "x" * 257}},
            [f"environment.A is '{'x' * 78}…; expected at most 256 characters; this one has 257"],
        ),
        (
            {"environment": {"1A": "x"}},
            [
                "environment.1A is '1A'; expected at most 256 letters, digits and underscores, no digit first, "
                "as the name of an environment variable"
            ],
        ),
        (
            {"tags": {"aws:x": "y"}},
            [
                "tags.aws:x is 'aws:x'; expected 1 to 128 letters, digits, blanks and _.:/=+-@, not beginning with "
                "aws:, as the key of a tag"
            ],
        ),
    ],
)
def test_limits(changes, expected):
    """Each limit of CreateProcessingJob is checked before anything is started."""
    assert problems(**changes) == expected


def test_lengths_of_uris():
    """S3 URIs have at most 1024 characters and image URIs at most 255."""
    assert parse_execution_input({**NINE_KEYS, "input_uri": "s3://bucket/" + "x" * 1012})
    assert "at most 1024 characters; this one has 1025" in problems(input_uri="s3://bucket/" + "x" * 1013)[0]
    assert parse_execution_input({**NINE_KEYS, "custom_image_uri": "host/" + "x" * 250})
    assert "at most 255 characters; this one has 256" in problems(custom_image_uri="host/" + "x" * 251)[0]


def test_hundred_environment_variables():
    """100 entries are taken and 101 are not."""
    assert parse_execution_input({**NINE_KEYS, "environment": {f"V{i}": "" for i in range(100)}})
    assert "at most 100 entries; this one has 101" in problems(environment={f"V{i}": "" for i in range(101)})[0]


def test_all_problems_at_once_with_close_matches():
    """One look at the text shows everything there is to correct."""
    found = problems(volume_sise=3, volume_size=0, max_runtime="x", input_uri=None)
    assert [text.split(";")[0] for text in found] == [
        "input_uri is None",
        "volume_size is 0",
        "max_runtime is 'x'",
        "unknown key 'volume_sise'",
    ]
    assert found[-1].endswith("did you mean volume_size?")
