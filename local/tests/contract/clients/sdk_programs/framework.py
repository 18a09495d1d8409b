"""A folder with requirements of its own, packed by a FrameworkProcessor: ``framework.py BUCKET IMAGE_URI ROLE``.

The folder "source" lies in the current directory.
"""

import sys

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import FrameworkProcessor
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output

bucket, image_uri, role = sys.argv[1:]
result = ProcessingS3Output(
    s3_uri=f"s3://{bucket}/sdk/framework/out", local_path="/opt/ml/processing/output", s3_upload_mode="EndOfJob"
)
processor = FrameworkProcessor(
    role=role,
    image_uri=image_uri,
    command=["python3"],
    instance_count=1,
    instance_type="ml.t3.medium",
    base_job_name="sdk-framework",
    sagemaker_session=Session(default_bucket=bucket),
)
processor.run(
    code="main.py",
    source_dir="source",
    outputs=[ProcessingOutput(output_name="result", s3_output=result)],
    arguments=["one"],
    wait=True,
    logs=False,
)
job = processor.latest_job.refresh()
print("JOB", job.processing_job_name, job.processing_job_status)
