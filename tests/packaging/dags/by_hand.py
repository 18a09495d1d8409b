"""A hand-written DAG with stepbridge's operators; run by ``python by_hand.py``, it prints the state of the run."""

import os
from pathlib import Path

from airflow.sdk import DAG

from stepbridge.operators import BuildImageOperator, StartExecutionOperator, UploadScriptsOperator
from stepbridge.sensors import ExecutionSensor

BUCKET = os.environ["MODEL_BUCKET"]
FOLDER = Path(os.environ["MODEL_FOLDER"])
PARAMS = {
    "input_uri": f"s3://{BUCKET}/input/",
    "output_uri": f"s3://{BUCKET}/output/",
    "instance_type": "ml.m5.large",
    "volume_size": 5,
    "max_runtime": 600,
    "stages": ["preprocessing", "inference", "postprocessing"],
}

with DAG("by_hand", schedule=None, params=PARAMS) as dag:
    image = BuildImageOperator(task_id="build_image", model="upper", context_folder=FOLDER / "container")
    code = UploadScriptsOperator(task_id="upload_scripts", model="upper", scripts_folder=FOLDER / "scripts")
    start = StartExecutionOperator(
        task_id="start_execution", model="upper", image_uri=image.output, code_uri=code.output
    )
    ExecutionSensor(task_id="wait_for_execution", model="upper", execution_arn=start.output)

if __name__ == "__main__":
    print("run:", dag.test().state)
