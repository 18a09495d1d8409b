"""Names are deterministic, within AWS's lengths and alphabets, and different for different runs."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.core.names import EXECUTION_TOKEN_BYTES, STAGES, execution_name, image_tag, job_name
from stepbridge.errors import ConfigurationError

anything = st.text(max_size=300)
numbers = st.integers(min_value=-1, max_value=10**6)
tokens = st.binary(min_size=EXECUTION_TOKEN_BYTES, max_size=EXECUTION_TOKEN_BYTES).map(bytes.hex)
runs = st.tuples(anything, anything, tokens, st.integers(0, 10**6))


@given(runs)
def test_execution_name_fits_step_functions(run):
    """Whatever the ids are written in, the name is 1 to 80 of letters, digits, - and _, and has the whole token."""
    name = execution_name(*run)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", name)
    assert name.endswith(f"{run[2]}-{run[3]}")


@given(runs, runs)
def test_execution_names_differ_when_tokens_or_numbers_do(one, other):
    """Whatever model and run are called: a run that was made again, or another Airflow's, has another token."""
    same = one[2:] == other[2:]
    assert same or execution_name(*one) != execution_name(*other)
    assert execution_name(*one[:2], *other[2:]) == execution_name(*one[:2], *other[2:])


def test_execution_name_shows_model_and_run():
    """A person finds the run by its name."""
    name = execution_name("flight_delay", "scheduled__2013-06-01T00:00:00+00:00", "0123456789abcdef", 2)
    assert name == "flight_delay-scheduled__2013-06-01T00-00-00-00-00-0123456789abcdef-2"


@given(anything, anything, st.sampled_from(STAGES), numbers.filter(lambda n: n >= 0), numbers.filter(lambda n: n >= 0))
def test_job_name_fits_sagemaker(arn, name, stage, redrive, retry):
    """Whatever an execution is called, the job's name has SageMaker's pattern and length."""
    found = job_name(arn, name, stage, redrive, retry)
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", found)
    assert len(found) <= 63


jobs = st.tuples(anything, st.sampled_from(STAGES), st.integers(0, 30), st.integers(0, 900))


@given(jobs, jobs)
def test_job_names_differ_when_jobs_do(one, other):
    """A name comes back for the same execution, stage, redrive and retry only."""

    def name(job):
        arn, stage, redrive, retry = job
        return job_name(arn, "flight_delay-run", stage, redrive, retry)

    assert (name(one) == name(other)) == (one == other)


def test_image_tag_is_model_and_start_of_digest():
    """The tag names the content it was built from."""
    assert image_tag("flight_delay", "0123456789abcdef" + "0" * 48) == "flight_delay-0123456789abcdef"


@pytest.mark.parametrize(
    ("model", "digest", "found"),
    [
        ("m", "xyz", "image of m: digest 'xyz'; expected at least 16 lower-case hexadecimal digits"),
        (
            "Ü",
            "0" * 64,
            "image of Ü: tag 'Ü-0000000000000000'; expected 128 of [A-Za-z0-9_.-] at most; rename the model",
        ),
    ],
)
def test_image_tag_refuses_what_is_no_tag(model, digest, found):
    """A tag that ECR would refuse is refused here, with what is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        image_tag(model, digest)
    assert str(caught.value) == found
