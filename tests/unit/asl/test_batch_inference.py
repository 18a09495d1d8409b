"""What ``asl/batch_inference.asl.json`` asks of SageMaker, and what it does when a stage fails.

Its expressions are evaluated by the evaluator that the local AWS uses; where jobs end, the test says how.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.asl.definition_walk import EXECUTION_ARN, StateError, Walk

from stepbridge.asl.validation import load_definition
from stepbridge.core.defaults import STAGE_TIMEOUT_MARGIN_SECONDS
from stepbridge.core.execution_input import ExecutionInput
from stepbridge.core.names import STAGES, job_name
from stepbridge_local.services.stepfunctions.jsonata import compile_expression, evaluate

SOURCE = Path(__file__).parents[3] / "asl" / "batch_inference.asl.json"
DEFINITION = load_definition(SOURCE.read_text(encoding="utf-8"), SOURCE.name)
NAME = EXECUTION_ARN.rpartition(":")[2]
GIVEN = {
    "input_uri": "s3://bucket/in/",
    "output_uri": "s3://bucket/out/",
    "code_uri": "s3://bucket/code/",
    "custom_image_uri": "registry/models:flight_delay",
    "scikit_image_uri": "registry/sagemaker-scikit-learn:1",
    "role": "arn:aws:iam::123456789012:role/processing",
}


class Jobs:
    """SageMaker's side: each job ends as ``outcomes`` say, in order, and well once they are used up."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise StateError(*outcome)
        return {"ProcessingJobName": request["ProcessingJobName"], "ProcessingJobStatus": "Completed"}

    @property
    def names(self):
        return [request["ProcessingJobName"] for request in self.requests]


def walk(given, *outcomes):
    jobs = Jobs(*outcomes)
    return Walk(DEFINITION, jobs), jobs, given


def run(given, *outcomes):
    machine, jobs, given = walk(given, *outcomes)
    return machine.start(given), machine, jobs


def failure(given, *outcomes):
    machine, jobs, given = walk(given, *outcomes)
    with pytest.raises(StateError) as caught:
        machine.start(given)
    return caught.value, machine, jobs


def failed_job(reason=None, status="Failed"):
    """What Step Functions says of a job that ran and failed."""
    description = {
        "ProcessingJobName": "sb-x",
        "ProcessingJobStatus": status,
        "Environment": {"A": '"FailureReason":"X'},
    }
    if reason:
        description["FailureReason"] = reason
    return "States.TaskFailed", json.dumps(description, separators=(",", ":"))


def io(request):
    """Where a job reads and writes in S3."""
    data = request["ProcessingInputs"][0]["S3Input"]
    output = request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]
    return data["S3Uri"], output["S3Uri"]


def test_three_stages_chain_through_the_output_prefix():
    """Each stage reads what the one before wrote; only the last writes to the output itself."""
    output, machine, jobs = run(GIVEN)
    between = f"s3://bucket/out/_stepbridge/{NAME}"
    assert [io(request) for request in jobs.requests] == [
        ("s3://bucket/in/", f"{between}/preprocessing"),
        (f"{between}/preprocessing/", f"{between}/inference"),
        (f"{between}/inference/", "s3://bucket/out"),
    ]
    assert output == {
        "output_uri": "s3://bucket/out/",
        "stages": list(STAGES),
        "jobs": dict(zip(STAGES, jobs.names, strict=True)),
    }
    assert machine.visited[-1] == "Done"


def test_request_of_a_script_stage():
    """The script stages run their script in the scikit-learn image, with data and code mounted apart."""
    _, _, jobs = run({**GIVEN, "environment": {"A": "b"}, "tags": {"team": "data"}, "model": "flight_delay"})

    def mounted(name, uri, folder):
        source = {"S3Uri": uri, "LocalPath": folder, "S3DataType": "S3Prefix", "S3InputMode": "File"}
        return {
            "InputName": name,
            "AppManaged": False,
            "S3Input": {**source, "S3DataDistributionType": "FullyReplicated"},
        }

    assert jobs.requests[0] == {
        "ProcessingJobName": job_name(EXECUTION_ARN, NAME, "preprocessing", 0, 0),
        "RoleArn": GIVEN["role"],
        "AppSpecification": {
            "ImageUri": GIVEN["scikit_image_uri"],
            "ContainerEntrypoint": ["python", "/opt/ml/processing/code/preprocessing.py"],
        },
        "ProcessingInputs": [
            mounted("data", "s3://bucket/in/", "/opt/ml/processing/input"),
            mounted("code", "s3://bucket/code/", "/opt/ml/processing/code"),
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "output",
                    "AppManaged": False,
                    "S3Output": {
                        "S3Uri": f"s3://bucket/out/_stepbridge/{NAME}/preprocessing",
                        "LocalPath": "/opt/ml/processing/output",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "Environment": {"A": "b"},
        "Tags": [
            {"Key": "stepbridge:execution", "Value": NAME},
            {"Key": "stepbridge:model", "Value": "flight_delay"},
            {"Key": "team", "Value": "data"},
            {"Key": "stepbridge:stage", "Value": "preprocessing"},
        ],
    }
    assert jobs.requests[1]["AppSpecification"] == {"ImageUri": GIVEN["custom_image_uri"]}
    assert len(jobs.requests[1]["ProcessingInputs"]) == 1


def test_requests_are_what_the_service_model_takes():
    """Every member of every request has the name and the type that SageMaker knows."""
    from botocore.session import Session
    from botocore.validate import ParamValidator

    shape = Session().get_service_model("sagemaker").operation_model("CreateProcessingJob").input_shape
    _, _, jobs = run({**GIVEN, "environment": {"A": "b"}, "tags": {"team": "data"}})
    for request in jobs.requests:
        assert ParamValidator().validate(request, shape).generate_report() == ""


subsets = st.sets(st.sampled_from(STAGES), min_size=1).map(sorted)


@settings(max_examples=20)
@given(subsets)
def test_any_subset_of_stages_in_the_order_they_run(stages):
    """However many are left out, the first reads the input and the last writes the output."""
    output, _, jobs = run({**GIVEN, "stages": stages})
    wanted = [stage for stage in STAGES if stage in stages]
    assert output["stages"] == wanted
    assert list(output["jobs"]) == wanted
    assert io(jobs.requests[0])[0] == "s3://bucket/in/"
    assert io(jobs.requests[-1])[1] == "s3://bucket/out"
    reads = [io(request)[0] for request in jobs.requests[1:]]
    assert reads == [io(request)[1] + "/" for request in jobs.requests[:-1]]


def test_only_what_the_stages_need_is_required():
    """Inference alone needs no scripts."""
    given = {key: value for key, value in GIVEN.items() if key not in ("code_uri", "scikit_image_uri")}
    output, _, _ = run({**given, "stages": ["inference"]})
    assert output["stages"] == ["inference"]


def test_input_of_a_dag_run_is_taken_as_it_is():
    """What ExecutionInput writes, the state machine reads."""
    given = ExecutionInput(**GIVEN, stages=("inference",), volume_size=50, max_runtime=60, model="m", tags={"a": "b"})
    _, _, jobs = run(json.loads(given.to_json()))
    assert jobs.requests[0]["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] == 50
    assert jobs.requests[0]["StoppingCondition"] == {"MaxRuntimeInSeconds": 60}


def test_null_and_numbers_as_texts_are_taken():
    """What a person types into the console: null for the default, a number in quotes."""
    _, _, jobs = run({**GIVEN, "max_runtime": None, "volume_size": "50", "stages": None})
    assert jobs.requests[0]["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}
    assert jobs.requests[0]["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] == 50
    assert len(jobs.requests) == 3


def test_the_defaults_are_those_of_core_defaults():
    """What an execution input leaves out is filled in as a card and ``ExecutionInput`` fill it in."""
    prepare = DEFINITION["States"]["Prepare"]["Output"]
    filled = evaluate(prepare[2:-2].strip(), {"states": {"input": {}}})
    fields = ExecutionInput.model_fields
    assert filled.keys() == fields.keys()
    for key, value in filled.items():
        default = fields[key].get_default(call_default_factory=True)
        if not fields[key].is_required() and default is not None:
            assert value == (list(default) if isinstance(default, tuple) else default), key
    comment = DEFINITION["Comment"]
    assert f"instance_type ({fields['instance_type'].default})" in comment
    assert f"volume_size ({fields['volume_size'].default} GB)" in comment
    assert f"max_runtime ({fields['max_runtime'].default} s for each stage)" in comment


def test_a_stage_has_a_margin_beyond_its_maximum_runtime():
    """The margin of ``core.defaults``."""
    for stage in STAGES:
        timeout = DEFINITION["States"][stage.capitalize()]["TimeoutSeconds"]
        assert timeout == f"{{% $number($max_runtime) + {STAGE_TIMEOUT_MARGIN_SECONDS} %}}"


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({**GIVEN, "stages": []}, "stages is empty; expected some of preprocessing, inference, postprocessing"),
        (
            {**GIVEN, "stages": ["inference", "training"]},
            "unknown stage training; expected some of preprocessing, inference, postprocessing",
        ),
        ({**GIVEN, "stages": "all"}, "unknown stage all; expected some of preprocessing, inference, postprocessing"),
        (
            {**GIVEN, "volume_size": 0, "max_runtime": "1 h"},
            'volume_size must be a whole number above 0, not "0"; '
            'max_runtime must be a whole number above 0, not "1 h"',
        ),
        ({**GIVEN, "environment": ["A"], "tags": "x"}, "environment must be an object; tags must be an object"),
        ({**GIVEN, "input_uri": 'a"b'}, 'input_uri must be an S3 URI, not "a"b"'),
        *(
            (
                given,
                'input_uri must be an S3 URI, not ""; output_uri must be an S3 URI, not ""; '
                'code_uri must be an S3 URI, not ""; role must be a text that is not empty; '
                "scikit_image_uri must be a text that is not empty; custom_image_uri must be a text that is not empty",
            )
            for given in ({}, [], "x", 7, None)
        ),
    ],
)  # fmt: skip
def test_invalid_input_fails_before_anything_is_started(given, cause):
    """The cause lists all that is wrong, and no job was created."""
    error, machine, jobs = failure(given)
    assert (error.error, error.cause) == ("InvalidInput", cause)
    assert machine.visited[-1] == "Invalid input"
    assert jobs.requests == []


nasty = st.text(alphabet="\"\\'`$%{}()/é\n ;:=&", max_size=12)


@settings(max_examples=25)
@given(nasty, nasty, nasty)
def test_no_text_breaks_an_expression(prefix, value, model):
    """Quotes, backslashes and expression marks in the input arrive at SageMaker as they are."""
    given = {**GIVEN, "input_uri": f"s3://b{prefix}/", "environment": {"A": value}, "model": model, "role": f"r{value}"}
    _, _, jobs = run(given)
    request = jobs.requests[0]
    assert io(request)[0] == f"s3://b{prefix}/"
    assert request["Environment"] == {"A": value}
    assert request["RoleArn"] == f"r{value}"


names = st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]), min_size=1, max_size=80)
arns = names.map(lambda name: f"arn:aws:states:us-east-1:123456789012:execution:m:{name}")


@settings(max_examples=25)
@given(arns, st.integers(0, 30), st.sampled_from(STAGES))
def test_job_names_are_those_of_core_names(arn, redrive_count, stage):
    """The definition's expression and ``core.names.job_name`` give one name, whatever the execution is called."""
    jobs = Jobs(("ThrottlingException", "Rate exceeded"), ("ThrottlingException", "Rate exceeded"))
    Walk(DEFINITION, jobs, execution_arn=arn, redrive_count=redrive_count).start({**GIVEN, "stages": [stage]})
    name = arn.rpartition(":")[2]
    assert jobs.names == [job_name(arn, name, stage, redrive_count, retry) for retry in (0, 1, 2)]


@pytest.mark.parametrize("error", ["ThrottlingException", "SageMaker.ResourceLimitExceededException"])
def test_refused_requests_are_retried_in_place(error):
    """Throttling and used-up quotas pass: the same state asks again, under a name of its own each time."""
    output, machine, jobs = run(GIVEN, (error, "x"), (error, "x"))
    assert output["jobs"]["preprocessing"] == job_name(EXECUTION_ARN, NAME, "preprocessing", 0, 2)
    assert "Failed job" not in machine.visited
    assert len(set(jobs.names)) == 5


@pytest.mark.parametrize(
    "outcome",
    [
        failed_job("CapacityError: Unable to provision requested ML compute capacity."),
        failed_job("InternalServerError: We encountered an internal error."),
        ("SageMaker.AmazonSageMakerException", "Internal error (Service: AmazonSageMaker; Status Code: 500)"),
        ("SageMaker.AmazonSageMakerException", "Rate exceeded (Error Code: ThrottlingException)"),
    ],
)
def test_what_passes_with_time_backs_off(outcome):
    """Lack of capacity and SageMaker's own errors: the stage is run again after longer and longer waits."""
    output, machine, jobs = run({**GIVEN, "stages": ["inference"]}, outcome, outcome, outcome)
    retries = [0, 100, 200, 300]
    assert jobs.names == [job_name(EXECUTION_ARN, NAME, "inference", 0, retry) for retry in retries]
    assert output["jobs"] == {"inference": jobs.names[-1]}
    for wait, ceiling in zip(machine.waits, (10, 20, 40), strict=True):
        assert ceiling / 2 <= wait <= ceiling


def test_back_off_has_a_ceiling_and_an_end():
    """Nine tries in all, 15 minutes at most between two; then the execution fails with the last one's error."""
    error, machine, jobs = failure(GIVEN, *[failed_job("CapacityError: none")] * 20)
    assert error.error == "CapacityError"
    assert len(jobs.requests) == 9
    assert len(machine.waits) == 8
    assert max(machine.waits) <= 900


def test_attempts_are_counted_per_stage():
    """What one stage needed does not count against the next."""
    capacity = failed_job("CapacityError: none")
    _, machine, jobs = run(GIVEN, *[capacity] * 5, None, *[capacity] * 5)
    assert len(machine.waits) == 10
    assert len(set(jobs.names)) == 13


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (failed_job("AlgorithmError: See job logs"), "AlgorithmError"),
        (failed_job("ClientError: No S3 objects found"), "ClientError"),
        (failed_job(status="Stopped"), "JobStopped"),
        (failed_job("ClientError: MaxRuntimeExceeded", status="Stopped"), "JobStopped"),
        (failed_job(status="Stopping"), "JobStopped"),
        (failed_job(), "States.TaskFailed"),
        (("SageMaker.AmazonSageMakerException", "ValidationException"), "SageMaker.AmazonSageMakerException"),
        (("SageMaker.ResourceInUseException", "exists"), "SageMaker.ResourceInUseException"),
        (("States.TaskFailed", '{"FailureReason": "AlgorithmError: cut at its maximum le'), "AlgorithmError"),
    ],
)  # fmt: skip
def test_what_does_not_pass_fails_at_once(outcome, expected):
    """One try, no wait; error and cause are SageMaker's own."""
    error, machine, jobs = failure(GIVEN, outcome)
    assert (error.error, error.cause) == (expected, outcome[1])
    assert len(jobs.requests) == 1
    assert machine.waits == []
    assert machine.visited[-1] == "Failed"


def test_timeout_without_a_cause_is_named():
    """Step Functions gives no cause for a state that timed out."""
    error, _, _ = failure(GIVEN, None, ("States.Timeout", ""))
    assert (error.error, error.cause) == ("States.Timeout", "Stage inference ended with States.Timeout")


@pytest.mark.parametrize("stage", STAGES)
def test_redrive_goes_on_with_the_stage_that_failed(stage):
    """Finished stages are not run again; the new job has a name of its own."""
    before = STAGES.index(stage)
    machine, jobs, given = walk(GIVEN, *[None] * before, failed_job("AlgorithmError: x"))
    with pytest.raises(StateError):
        machine.start(given)
    output = machine.redrive()
    assert jobs.names[before + 1] == job_name(EXECUTION_ARN, NAME, stage, 1, 0)
    assert len(jobs.requests) == 4
    assert list(output["jobs"]) == list(STAGES)


def test_redrive_that_fails_again_can_be_redriven_again():
    """Any number of times. Every redrive has all its attempts again."""
    capacity = failed_job("CapacityError: none")
    machine, jobs, given = walk(GIVEN, failed_job("AlgorithmError: x"), failed_job("ClientError: y"), *[capacity] * 8)
    with pytest.raises(StateError, match="AlgorithmError"):
        machine.start(given)
    with pytest.raises(StateError, match="ClientError"):
        machine.redrive()
    assert list(machine.redrive()["jobs"]) == list(STAGES)
    assert len(set(jobs.names)) == len(jobs.names)
    assert jobs.names[2] == job_name(EXECUTION_ARN, NAME, "preprocessing", 2, 0)


def test_every_expression_compiles():
    """In the grammar that Step Functions speaks, JSONata 2.0.6."""
    texts = list(expressions(DEFINITION))
    assert len(texts) > 70
    for text in texts:
        assert compile_expression(text)


def test_every_state_has_a_comment():
    """Whoever opens the file in Workflow Studio reads what each state is for."""
    states = dict(DEFINITION["States"]) | DEFINITION["States"]["Give up"]["Branches"][0]["States"]
    assert [name for name, state in states.items() if len(state.get("Comment", "")) < 20] == []


def test_optional_members_are_never_undefined():
    """No expression uses ``$`` or ``$$`` alone, which Step Functions refuses."""
    for text in expressions(DEFINITION):
        assert "$$" not in text
        assert "$." not in text


def expressions(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from expressions(item)
    elif isinstance(value, str) and value.startswith("{%"):
        yield value[2:-2].strip()
