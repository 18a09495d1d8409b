"""Names are deterministic, within AWS's lengths and alphabets, and different for different runs."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.core.names import STAGES, execution_name, image_tag, job_name
from stepbridge.errors import ConfigurationError

anything = st.text(max_size=300)
numbers = st.integers(min_value=-1, max_value=10**6)
runs = st.tuples(anything, anything, numbers, numbers, numbers, anything)


@given(runs)
def test_execution_name_fits_step_functions(run):
    """Whatever the ids are written in, the name is 1 to 80 of letters, digits, - and _, and begins readably."""
    name = execution_name(*run)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", name)


@given(runs, runs)
def test_execution_names_differ_when_runs_do(one, other):
    """Two runs have one name exactly when they are the same run."""
    assert (execution_name(*one) == execution_name(*other)) == (one == other)


def test_execution_names_differ_only_in_what_the_head_cannot_show():
    """Ids that are shortened or cleaned to the same head still give names of their own."""
    long = "m" * 300
    names = {
        execution_name(long + "a", "r", 0, 0, 0, ""),
        execution_name(long + "b", "r", 0, 0, 0, ""),
        execution_name("m", "r:1", 0, 0, 0, ""),
        execution_name("m", "r+1", 0, 0, 0, ""),
        execution_name("m", "r", 1, 10, 0, ""),
        execution_name("m", "r", 11, 0, 0, ""),
    }
    assert len(names) == 6


def test_execution_name_shows_model_and_run():
    """A person finds the run by its name."""
    name = execution_name("flight_delay", "scheduled__2013-06-01T00:00:00+00:00", -1, 0, 0, "ab")
    assert name.startswith("flight_delay-scheduled__2013-06-01T00-00-00-00-00-")
    assert re.fullmatch(r".*-[0-9a-f]{12}", name)


def test_execution_name_of_one_run_is_always_the_same():
    """The name is part of the contract with executions already started: it must not change between versions."""
    assert execution_name("m", "r", -1, 0, 0, "d") == "m-r-a8152e9bf337"


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
