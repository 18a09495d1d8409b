"""State machine definitions (Amazon States Language): load, validate, draw. Pure."""

from stepbridge.asl.definition import Definition, load_definition
from stepbridge.asl.mermaid import to_mermaid
from stepbridge.asl.validation import validate_definition

__all__ = ["Definition", "load_definition", "to_mermaid", "validate_definition"]
