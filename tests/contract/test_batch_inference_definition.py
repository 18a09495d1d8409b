"""Other people's tools take ``asl/batch_inference.asl.json``: moto's parser and cfn-lint's schema."""

import json
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "asl" / "batch_inference.asl.json"
DEFINITION = json.loads(SOURCE.read_text(encoding="utf-8"))


def test_moto_parses_it():
    """The interpreter that the local AWS extends knows every key and every state."""
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser  # takes seconds

    program, _ = AmazonStateLanguageParser.parse(SOURCE.read_text(encoding="utf-8"))
    assert program.query_language.query_language_mode.name == "JSONata"
    assert set(program.states.states) == set(DEFINITION["States"])


def test_cfn_lint_takes_it():
    """cfn-lint's schema knows every key too.

    It takes no expression for TimeoutSeconds, which Step Functions does in a JSONata state
    (https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_stepfunctions.Timeout.html), so numbers stand in.
    It takes resources of the partition aws only.
    """
    from cfnlint.api import lint_all  # takes seconds

    definition = json.loads(SOURCE.read_text(encoding="utf-8").replace("${Partition}", "aws"))
    for state in definition["States"].values():
        if "TimeoutSeconds" in state:
            state["TimeoutSeconds"] = 7200
    properties = {"RoleArn": "arn:aws:iam::123456789012:role/states", "Definition": definition}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    found = lint_all(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Machine": machine}}))
    assert [match.message for match in found if match.rule.severity == "error"] == []
