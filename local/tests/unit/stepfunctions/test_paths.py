"""Names in brackets of a JSONPath."""

from __future__ import annotations

import pytest

from stepbridge_local.services.stepfunctions.moto.paths import evaluate_path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (r"""$['say "hi"']""", 'say "hi"'),
        (r"""$['a\"b']""", r"a\"b"),
        (r"""$["a\'b"]""", r"a\'b"),
        (r"""$['C:\temp']""", r"C:\temp"),
        (r"""$['it\'s']""", "it's"),
        (r"""$['a\\b']""", r"a\b"),
    ],
)
def test_a_backslash_in_a_quoted_name(path: str, name: str) -> None:
    """It stands for itself unless it escapes the quote that encloses the name, or another backslash."""
    assert evaluate_path(path, {name: 1}) == 1
