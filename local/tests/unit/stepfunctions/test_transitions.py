"""Definitions whose states lead nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from stepbridge_local.services.stepfunctions.transitions import transition_problems

END = {"Type": "Succeed"}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"StartAt": "Z", "States": {"A": END}}, "Missing 'StartAt' target: Z at /StartAt"),
    ({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Z"}}}, "Missing 'Next' target: Z at /States/A/Next"),
    ({"StartAt": "A", "States": {"A": {"Type": "Pass"}}}, "A state must have 'Next' or 'End' at /States/A"),
    ({"StartAt": "A", "States": {"A": END, "B": END}}, 'State "B" is not reachable. at /States/B'),
    (
        {"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": [{"Next": "Z"}]}}},
        "target: Z at /States/A/Choices[0]/Next",
    ),
    ({"StartAt": "A", "States": {"A": {"Type": "Choice", "Default": "Z"}}}, "target: Z at /States/A/Default"),
    (
        {"StartAt": "A", "States": {"A": {"Type": "Task", "End": True, "Catch": [{"Next": "Z"}]}}},
        "target: Z at /States/A/Catch[0]/Next",
    ),
    (
        {
            "StartAt": "A",
            "States": {
                "A": {
                    "Type": "Map",
                    "End": True,
                    "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Pass", "Next": "Z"}}},
                }
            },
        },
        "target: Z at /States/A/ItemProcessor/States/I/Next",
    ),
    (
        {
            "StartAt": "A",
            "States": {"A": {"Type": "Parallel", "End": True, "Branches": [{"StartAt": "Z", "States": {"B": END}}]}},
        },
        "target: Z at /States/A/Branches[0]/StartAt",
    ),
]


@pytest.mark.parametrize(("definition", "message"), BAD, ids=[row[1][:50] for row in BAD])
def test_a_state_that_leads_nowhere(definition: dict[str, Any], message: str) -> None:
    """The text names target and place."""
    assert message in ", ".join(map(str, transition_problems(definition)))


def test_good_definitions() -> None:
    """Loops, choices, catches, and states within states."""
    inner = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}
    states = {
        "A": {"Type": "Task", "Next": "B", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "F"}]},
        "B": {"Type": "Choice", "Choices": [{"Condition": "{% true %}", "Next": "A"}], "Default": "M"},
        "M": {"Type": "Map", "ItemProcessor": inner, "Next": "P"},
        "P": {"Type": "Parallel", "Branches": [inner, inner], "End": True},
        "F": {"Type": "Fail"},
    }
    assert list(transition_problems({"StartAt": "A", "States": states})) == []


@pytest.mark.parametrize("unreachable", [{}, {"C": {"Type": "Pass", "Next": "A"}}])
def test_a_machine_without_an_end(unreachable: dict[str, Any]) -> None:
    """One problem without a place, however many states cannot be reached."""
    loop = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}, **unreachable}
    (problem,) = transition_problems({"StartAt": "A", "States": loop})
    assert str(problem) == "MISSING_END_STATE: Workflow has no terminal state"
