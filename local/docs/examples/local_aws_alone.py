import json
import time
from pathlib import Path

import boto3

s3, states = boto3.client("s3"), boto3.client("stepfunctions")
job = json.loads(Path("shout_job.json").read_text())
s3.create_bucket(Bucket="alone")
s3.put_object(Bucket="alone", Key="in/names.txt", Body=b"ada, grace\n")
s3.upload_file("shout.py", "alone", "code/shout.py")
arguments = {**job, "ProcessingJobName.$": "$$.Execution.Name"}
task = {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync", "Parameters": arguments}
definition = json.dumps({"StartAt": "Shout", "States": {"Shout": {**task, "End": True}}})
machine = states.create_state_machine(name="alone", definition=definition, roleArn=job["RoleArn"])
execution = states.start_execution(stateMachineArn=machine["stateMachineArn"])
while (status := states.describe_execution(executionArn=execution["executionArn"])["status"]) == "RUNNING":
    time.sleep(0.1)
print(status, s3.get_object(Bucket="alone", Key="out/names.txt")["Body"].read().decode())
