"""The README's graph is the state machine's."""

from pathlib import Path

from stepbridge.asl import load_definition, to_mermaid

ROOT = Path(__file__).parents[3]


def test_the_readme_shows_the_graph_of_the_definition() -> None:
    """Whoever changes the state machine draws it anew."""
    source = ROOT / "asl/batch_inference.asl.json"
    graph = to_mermaid(load_definition(source.read_text(), str(source)))
    assert f"```mermaid\n{graph.strip()}\n```" in (ROOT / "README.md").read_text()
