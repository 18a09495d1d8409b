"""State machine definitions (Amazon States Language): load and validate. Pure."""

from stepbridge.asl.definition import Definition, load_definition
from stepbridge.asl.validation import validate_definition

__all__ = ["Definition", "load_definition", "validate_definition"]
