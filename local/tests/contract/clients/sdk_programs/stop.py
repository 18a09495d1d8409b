"""An image that runs by itself, waited for, and another that is stopped: ``stop.py BUCKET IMAGE_URI ROLE``."""

import sys
import time

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import Processor
from sagemaker.core.resources import ProcessingJob

bucket, image_uri, role = sys.argv[1:]


def processor(**environment):
    return Processor(
        role=role,
        image_uri=image_uri,
        instance_count=1,
        instance_type="ml.t3.medium",
        base_job_name="sdk-image",
        env=environment,
        sagemaker_session=Session(default_bucket=bucket),
    )


endless = processor(SECONDS="600")
endless.run(wait=False, logs=False)
endless.latest_job.stop()

brief = processor(SECONDS="0")
brief.run(wait=True, logs=False)
job = brief.latest_job.refresh()
print("JOB", job.processing_job_name, job.processing_job_status)

stopped = ProcessingJob.get(endless.latest_job.processing_job_name)
while stopped.processing_job_status == "Stopping":
    time.sleep(0.1)
    stopped = stopped.refresh()
print("JOB", stopped.processing_job_name, stopped.processing_job_status)
names = [one.processing_job_name for one in ProcessingJob.get_all(name_contains="sdk-image")]
print("ALL", *sorted(names))
