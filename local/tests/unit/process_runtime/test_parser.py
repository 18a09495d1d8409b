"""Parsing a Dockerfile: what Docker's own parser makes of it."""

from __future__ import annotations

import pytest

from stepbridge_local.runtimes.process.dockerfile.parser import (
    Instruction,
    exec_form,
    expand,
    parse_dockerfile,
    split_words,
)


def parsed(text: str) -> list[tuple[str, int, str]]:
    return [(one.name, one.line, one.value) for one in parse_dockerfile(text, "Dockerfile").instructions]


def test_lines_are_those_of_the_first_word_and_names_are_in_capitals() -> None:
    """Comments and empty lines count for line numbers and for nothing else."""
    text = "# a comment\n\nfrom python:3.11\n  # another\n\tEnv A=1\n"
    assert parsed(text) == [("FROM", 3, "python:3.11"), ("ENV", 5, "A=1")]


def test_continuations_are_joined_and_comments_and_empty_lines_within_are_dropped() -> None:
    """A comment inside of a continued instruction does not end it."""
    text = "RUN pip install \\\n    # why this one\n\n    pandas \\  \n    numpy\nCMD x"
    assert parsed(text) == [("RUN", 1, "pip install     pandas     numpy"), ("CMD", 6, "x")]


def test_the_escape_directive_changes_the_continuation_character() -> None:
    """``# escape=`` counts only before everything else."""
    text = "# escape=`\nCOPY a `\n  b\\\n"
    dockerfile = parse_dockerfile(text, "Dockerfile")
    assert dockerfile.escape == "`"
    assert [one.value for one in dockerfile.instructions] == ["a   b\\"]
    assert parse_dockerfile("\n# escape=`\nFROM x", "Dockerfile").escape == "\\"


def test_other_directives_and_a_byte_order_mark_are_no_instructions() -> None:
    """``# syntax=`` is a comment to this parser."""
    assert parsed("\ufeff# syntax=docker/dockerfile:1\nFROM python") == [("FROM", 2, "python")]


def test_flags_stand_between_name_and_value() -> None:
    """Only the instructions that have flags have them."""
    (copy, cmd) = parse_dockerfile("COPY --chown=1:1 --link a b\nCMD --verbose", "Dockerfile").instructions
    assert copy == Instruction("COPY", 1, "a b", (("chown", "1:1"), ("link", "")))
    assert copy.text == "COPY --chown=1:1 --link a b"
    assert cmd == Instruction("CMD", 2, "--verbose")


def test_the_body_of_a_here_document_is_no_instruction() -> None:
    """Its terminator ends it; ``<<-`` strips tabs in front of that."""
    text = "RUN <<EOF\nFROM nothing\nEOF\nCOPY <<-'A' <<B /x/\none\n\tA\ntwo\nB\nCMD x"
    dockerfile = parse_dockerfile(text, "Dockerfile")
    assert [(one.name, one.line, one.heredocs) for one in dockerfile.instructions] == [
        ("RUN", 1, ("EOF",)),
        ("COPY", 4, ("A", "B")),
        ("CMD", 9, ()),
    ]


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ('["python", "predict.py"]', ("python", "predict.py")),
        ("[]", ()),
        ("python predict.py", None),
        ("['python']", None),
        ("[1]", None),
    ],
)
def test_the_exec_form_is_a_json_array_of_strings(value: str, items: tuple[str, ...] | None) -> None:
    """All else is the shell form."""
    assert exec_form(value) == items


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$A/${A}x", "one/onex"),
        ("${MISSING}$MISSING", ""),
        ("${MISSING:-two}", "two"),
        ("${MISSING:-$A}", "one"),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY-two}", ""),
        ("${A:+other}", "other"),
        ("${MISSING:+other}", ""),
        ("'$A'", "$A"),
        ('"$A b"', "one b"),
        ('"a\\"b\\c"', 'a"b\\c'),
        ("\\$A", "$A"),
        ("a\\ b", "a b"),
        ("100$", "100$"),
    ],
)
def test_variables_and_quotes(word: str, value: str) -> None:
    """As https://docs.docker.com/reference/dockerfile/#environment-replacement has it."""
    assert expand(word, {"A": "one", "EMPTY": ""}, "\\") == value


@pytest.mark.parametrize("word", ["'open", '"open', "${A#pattern}", "${A", "${MISSING:?say why}"])
def test_what_cannot_be_replaced_is_an_error(word: str) -> None:
    """Rather than a value that Docker would not have made."""
    with pytest.raises(ValueError, match=r"does not end|not supported|say why"):
        expand(word, {"A": "one"}, "\\")


def test_words_end_at_white_space_outside_of_quotes() -> None:
    """Quotes stay in, for what expands them."""
    assert split_words("a=1 b=\"x y\" c='p q'\td\\ e", "\\") == ["a=1", 'b="x y"', "c='p q'", "d\\ e"]
