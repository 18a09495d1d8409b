"""State machine definitions (Amazon States Language): load and validate. Pure."""
