"""The drawing has every state and every transition of the definition."""

from pathlib import Path

from tests.unit.asl.mermaid import to_mermaid

from stepbridge.asl.validation import load_definition

SOURCE = Path(__file__).parents[3] / "asl" / "batch_inference.asl.json"


def test_small_machine():
    """Each kind of state has its shape, each kind of transition its arrow."""
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": 'Say "hi"',
        "States": {
            'Say "hi"': {"Type": "Task", "Catch": [{"ErrorEquals": ["A", "B"], "Next": "No"}], "Next": "Which?"},
            "Which?": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $x < 3 %}", "Next": "Later"}, {"Comment": "big", "Next": "Both"}],
                "Default": "No",
            },
            "Later": {"Type": "Wait", "Seconds": 1, "Next": "Both"},
            "Both": {
                "Type": "Parallel",
                "Branches": [{"StartAt": "In", "States": {"In": {"Type": "Succeed"}}}],
                "End": True,
            },
            "No": {"Type": "Fail"},
        },
    }
    assert [line.strip() for line in to_mermaid(definition).splitlines()[1:-3]] == [
        "flowchart TD",
        "start(( ))",
        "start --> s_Say_20__22_hi_22_",
        's_Say_20__22_hi_22_[["Say #quot;hi#quot;"]]:::task',
        's_Which_3f_{{"Which?"}}',
        's_Later[/"Later"/]',
        'subgraph s_Both["Both"]',
        's_In(["In"]):::success',
        "end",
        's_No(["No"]):::failure',
        "s_Say_20__22_hi_22_ --> s_Which_3f_",
        's_Say_20__22_hi_22_ -. "A, B" .-> s_No',
        's_Which_3f_ -- "$x #lt; 3" --> s_Later',
        's_Which_3f_ -- "big" --> s_Both',
        's_Which_3f_ -- "else" --> s_No',
        "s_Later --> s_Both",
    ]


def test_batch_inference_is_drawn_whole():
    """Nothing of the real definition is left out."""
    drawing = to_mermaid(load_definition(SOURCE.read_text(encoding="utf-8"), "x"))
    for name in ("Prepare", "Preprocessing", "Inference", "Postprocessing", "Back off", "Give up", "Invalid input"):
        assert f'"{name}"' in drawing
    assert drawing.count('-. "any error" .->') == 3


def test_the_page_shows_the_graph_of_the_definition():
    """Whoever changes the state machine replaces the graph in docs/state-machine.md."""
    page = (SOURCE.parents[1] / "docs/state-machine.md").read_text(encoding="utf-8")
    graph = to_mermaid(load_definition(SOURCE.read_text(encoding="utf-8"), "x"))
    assert f"```mermaid\n{graph.strip()}\n```" in page
