"""A script of the user's own, in the image of a ScriptProcessor: ``script.py BUCKET IMAGE_URI ROLE``."""

import sys
from pathlib import Path

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output

bucket, image_uri, role = sys.argv[1:]
Path("shout.py").write_text(
    "import os, pathlib, sys\n"
    "text = pathlib.Path('/opt/ml/processing/input/day.txt').read_text()\n"
    "print('shouting', sys.argv[1:], os.environ['TONE'])\n"
    "pathlib.Path('/opt/ml/processing/output/day.txt').write_text(text.upper() + '!')\n"
)
data = ProcessingS3Input(
    s3_uri=f"s3://{bucket}/sdk/script/in",
    local_path="/opt/ml/processing/input",
    s3_data_type="S3Prefix",
    s3_input_mode="File",
)
result = ProcessingS3Output(
    s3_uri=f"s3://{bucket}/sdk/script/out", local_path="/opt/ml/processing/output", s3_upload_mode="EndOfJob"
)
processor = ScriptProcessor(
    role=role,
    image_uri=image_uri,
    command=["python3"],
    instance_count=1,
    instance_type="ml.t3.medium",
    volume_size_in_gb=1,
    max_runtime_in_seconds=120,
    base_job_name="sdk-script",
    env={"TONE": "loud"},
    tags=[{"Key": "from", "Value": "sdk"}],
    sagemaker_session=Session(default_bucket=bucket),
)
processor.run(
    code="shout.py",
    inputs=[ProcessingInput(input_name="data", s3_input=data)],
    outputs=[ProcessingOutput(output_name="result", s3_output=result)],
    arguments=["--twice", "a b"],
    wait=True,
    logs=True,
)
job = processor.latest_job.refresh()
print("JOB", job.processing_job_name, job.processing_job_status)
