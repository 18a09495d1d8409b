"""A model whose three scripts need the standard library only."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from stepbridge.core.deployment import Deployment
from stepbridge.operators.build_image import BuildImageOperator
from stepbridge.operators.start_execution import StartExecutionOperator
from stepbridge.operators.upload_scripts import UploadScriptsOperator
from stepbridge.sensors.execution import ExecutionSensor

from .airflow_runs import Failures

SCRIPT = """
from pathlib import Path

for source in Path("/opt/ml/processing/input").glob("*.txt"):
    text = source.read_text()
    print("{stage} reads", source.name, flush=True)
    Path("/opt/ml/processing/output", source.name).write_text(text + "{stage}\\n")
"""
DOCKERFILE = """FROM python:3-slim
WORKDIR /app
COPY predict.py .
ENTRYPOINT ["python3", "/app/predict.py"]
"""
_numbers = itertools.count(1)


@dataclass
class TinyModel:
    """The model's folders and where its data is."""

    name: str
    root: Path
    s3: Any
    bucket: str

    @property
    def context_folder(self) -> Path:
        return self.root / "containers" / self.name

    @property
    def scripts_folder(self) -> Path:
        return self.root / "scripts" / self.name

    @property
    def input_uri(self) -> str:
        return f"s3://{self.bucket}/input/{self.name}/"

    def output_uri(self, suffix: str = "") -> str:
        return f"s3://{self.bucket}/output/{self.name}{suffix}"

    def script(self, stage: str, text: str) -> None:
        """Replace a stage's script."""
        (self.scripts_folder / f"{stage}.py").write_text(text)

    def objects(self, uri: str) -> dict[str, str]:
        """The objects below ``uri``, by the rest of their keys."""
        prefix = uri.removeprefix(f"s3://{self.bucket}/")
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return {
            item["Key"].removeprefix(prefix).lstrip("/"): self.s3.get_object(Bucket=self.bucket, Key=item["Key"])[
                "Body"
            ]
            .read()
            .decode()
            for item in found
        }

    def dag(self, failures: Failures, *, retries: int = 0, wait: dict[str, Any] | None = None, **params: Any) -> DAG:
        """A model's DAG; ``params`` replace the form's values, ``wait`` is for the sensor."""
        values = {
            "input_uri": self.input_uri,
            "output_uri": self.output_uri(),
            "instance_type": "ml.m5.large",
            "volume_size": 5,
            "max_runtime": 600,
            "stages": ["preprocessing", "inference", "postprocessing"],
            **params,
        }
        arguments = {
            "retries": retries,
            "retry_delay": 0,
            "on_failure_callback": failures,
            "on_retry_callback": failures,
        }
        with DAG(f"{self.name}-{next(_numbers)}", schedule=None, params=values, default_args=arguments) as dag:
            image = BuildImageOperator(task_id="build_image", model=self.name, context_folder=self.context_folder)
            code = UploadScriptsOperator(task_id="upload_scripts", model=self.name, scripts_folder=self.scripts_folder)
            start = StartExecutionOperator(
                task_id="start_execution", model=self.name, image_uri=image.output, code_uri=code.output
            )
            ExecutionSensor(task_id="wait_for_execution", model=self.name, execution_arn=start.output, **(wait or {}))
        return dag


def write_tiny_model(root: Path, s3: Any, deployment: Deployment) -> TinyModel:
    """Write the model's files below ``root`` and its input to the deployment's bucket."""
    model = TinyModel(f"tiny{next(_numbers)}", root, s3, deployment.bucket)
    model.context_folder.mkdir(parents=True)
    model.scripts_folder.mkdir(parents=True)
    (model.context_folder / "Dockerfile").write_text(DOCKERFILE)
    (model.context_folder / "predict.py").write_text(SCRIPT.format(stage=f"inference of {model.name}"))
    model.script("preprocessing", SCRIPT.format(stage="preprocessing"))
    model.script("postprocessing", SCRIPT.format(stage="postprocessing"))
    s3.put_object(Bucket=deployment.bucket, Key=f"input/{model.name}/day.txt", Body=b"raw\n")
    return model
