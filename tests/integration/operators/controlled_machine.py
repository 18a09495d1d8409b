"""A state machine whose executions do one stage at once and then wait for the word how to end. It has no jobs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

ROLE_ARN = "arn:aws:iam::123456789012:role/states"
DEADLINE_SECONDS = 180
FIRST_STAGE = "First stage"


@dataclass(frozen=True)
class Seen:
    """An execution as AWS tells of it."""

    arn: str
    status: str
    redrives: int


class ControlledMachine:
    """One state machine of its own, its executions and the word that they wait for."""

    def __init__(self, machines: Any, s3: Any, bucket: str, name: str) -> None:
        self._machines, self._s3, self._bucket, self._name = machines, s3, bucket, name
        definition = json.dumps(_definition(bucket, name))
        self.arn: str = machines.create_state_machine(name=name, definition=definition, roleArn=ROLE_ARN)[
            "stateMachineArn"
        ]

    def executions(self) -> dict[str, Seen]:
        """All executions, by ARN."""
        listed = self._machines.list_executions(stateMachineArn=self.arn)["executions"]
        found = (self._machines.describe_execution(executionArn=each["executionArn"]) for each in listed)
        return {
            each["executionArn"]: Seen(each["executionArn"], each["status"], each["redriveCount"]) for each in found
        }

    def first_stages(self, arn: str) -> int:
        """How often the execution has completed its first stage."""
        events = self._machines.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        exits = [event["stateExitedEventDetails"]["name"] for event in events if event["type"] == "PassStateExited"]
        return exits.count(FIRST_STAGE)

    def let_end(self, arn: str, word: str) -> None:
        """Have the running execution end: ``go`` makes it succeed, ``fail`` makes it fail. Returns once it has."""
        if word == "fail":
            self._s3.delete_object(Bucket=self._bucket, Key=f"mended/{self._name}")
        key = f"gate/{self._name}/{word}"
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=b"")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (status := self.executions()[arn].status) == "RUNNING":
            assert time.monotonic() < deadline, f"{arn} still runs"
            time.sleep(0.05)
        self._s3.delete_object(Bucket=self._bucket, Key=key)
        self._s3.put_object(Bucket=self._bucket, Key=f"mended/{self._name}", Body=b"")
        assert status == {"go": "SUCCEEDED", "fail": "FAILED"}[word]

    def close(self) -> None:
        """Leave nothing running."""
        for seen in self.executions().values():
            if seen.status == "RUNNING":
                self._machines.stop_execution(executionArn=seen.arn)


def _definition(bucket: str, name: str) -> dict[str, Any]:
    """``Break`` is a task that fails as long as nothing is mended, so that a redrive gets past it."""
    arguments = {"Bucket": bucket, "Prefix": f"gate/{name}/"}
    word = "{% $states.result.KeyCount > 0 ? $states.result.Contents[0].Key : '' %}"
    return {
        "QueryLanguage": "JSONata",
        "StartAt": FIRST_STAGE,
        "States": {
            FIRST_STAGE: {"Type": "Pass", "Next": "Gate"},
            "Gate": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:s3:listObjectsV2",
                "Arguments": arguments,
                "Assign": {"word": word},
                "Next": "Which",
            },
            "Which": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $contains($word, '/fail') %}", "Next": "Break"},
                    {"Condition": "{% $contains($word, '/go') %}", "Next": "Done"},
                ],
                "Default": "Hold",
            },
            "Hold": {"Type": "Wait", "Seconds": 1, "Next": "Gate"},
            "Break": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:s3:headObject",
                "Arguments": {"Bucket": bucket, "Key": f"mended/{name}"},
                "Next": "Gate",
            },
            "Done": {"Type": "Succeed"},
        },
    }
