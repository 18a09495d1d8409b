"""JSONata as Step Functions evaluates it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import uuid
from typing import Any

import pytest

from stepbridge_local.services.stepfunctions.jsonata import UNDEFINED, QueryError, compile_expression, evaluate

STATES = {
    "input": {
        "input_uri": "s3://b/in/",
        "volume_size": 30,
        "ratio": 0.5,
        "whole": 30.0,
        "nothing": None,
        "empty": [],
        "one": [1],
        "stages": ["preprocessing", "inference"],
        "tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}],
        "environment": {"A": "1"},
        "quote": "it's \"quoted\" \\ back\nslash é 😀 %} {% $eval('1')",
    },
    "context": {"Execution": {"Id": "arn:1", "RedriveCount": 0}, "State": {"RetryCount": 2}},
}

TABLE: list[tuple[str, Any]] = [
    ("$states.input.input_uri & 'x'", "s3://b/in/x"),
    ("$states.input.volume_size", 30),
    ("$states.input.whole", 30),
    ("$states.input.volume_size / 2", 15),
    ("$states.input.volume_size / 4", 7.5),
    ("$states.input.ratio", 0.5),
    ("$states.input.nothing", None),
    ("[$states.input.nothing, 1]", [None, 1]),
    ("$states.input.nowhere", UNDEFINED),
    ("$exists($states.input.nothing)", True),
    ("$exists($states.input.nowhere)", False),
    ("$exists($states.input.nowhere) ? 1 : 2", 2),
    ("$type($states.input.nothing)", "null"),
    ("{'a': $states.input.nowhere, 'b': 1}", {"b": 1}),
    ("$states.input.empty", []),
    ("$states.input.one", [1]),
    ("$states.input.stages[0]", "preprocessing"),
    ("$states.input.stages[-1]", "inference"),
    ("'inference' in $states.input.stages", True),
    ("'postprocessing' in $states.input.stages", False),
    ("$states.input.stages[$ != 'inference']", "preprocessing"),
    ("$states.input.stages[$ != 'inference'][]", ["preprocessing"]),
    ("$states.input.tags.Key", ["a", "b"]),
    ("$states.input.tags[Key = 'a'].Value", "1"),
    ("$states.input.tags[Key = 'a'].Value[]", ["1"]),
    ("$map($states.input.one, function($v) { $v * 2 })", 2),
    ("$map([1, 2], function($v) { $v * 2 })", [2, 4]),
    ("[$map($states.input.one, function($v) { $v * 2 })]", [2]),
    ("$merge([{'model': 'm'}, $states.input.environment])", {"model": "m", "A": "1"}),
    ("$states.input.environment ~> |$|{'B': '2'}|", {"A": "1", "B": "2"}),
    ("$states.context.State.RetryCount + 1", 3),
    ("$power(2, $states.context.State.RetryCount)", 4),
    ("$min([60, $power(2, 10)])", 60),
    ("$floor(7.9)", 7),
    ("$round(0.5 * 5)", 2),
    ("$replace('a/b.c', /[^a-zA-Z0-9]+/, '-')", "a-b-c"),
    ("$substringBefore('AlgorithmError: exit 3', ':')", "AlgorithmError"),
    ("$contains('abc', /b/)", True),
    ("$split('a:b:c', ':')[-1]", "c"),
    ("$join($states.input.stages, ',')", "preprocessing,inference"),
    ("$string({'a': [1, 2.0, null]})", '{"a":[1,2,null]}'),
    ("$count($states.input.stages)", 2),
    ("$lookup({'a': 1}, 'a')", 1),
    ("($x := 2; $y := $x * 3; $y)", 6),
    ("$states.input.volume_size > 1 and $states.input.volume_size < 100", True),
    ("$not($exists($states.input.nowhere))", True),
    ("$reduce([1, 2, 3], function($a, $b) { $a + $b })", 6),
    ("[1..3]", [1, 2, 3]),
    ("[]", []),
    ("{}", {}),
    ("true", True),
    ("9007199254740991", 9007199254740991),
    ("$partition([1, 2, 3, 4, 5], 2)", [[1, 2], [3, 4], [5]]),
    ("$partition([1], 5)", [[1]]),
    ("$partition([], 2)", []),
    ("$range(0, 10, 5)", [0, 5, 10]),
    ("$range(3, 1, -1)", [3, 2, 1]),
    ("$range(5, 1, 1)", []),
    ("$hash('abc', 'MD5')", hashlib.md5(b"abc").hexdigest()),
    ("$hash('abc', 'SHA-1')", hashlib.sha1(b"abc").hexdigest()),
    ("$hash('é', 'SHA-256')", hashlib.sha256("é".encode()).hexdigest()),
    ("$hash('abc', 'SHA-384')", hashlib.sha384(b"abc").hexdigest()),
    ("$hash('abc', 'SHA-512')", hashlib.sha512(b"abc").hexdigest()),
    ("$random(7) = $random(7)", True),
    ("$random() != $random()", True),
    ("$parse('{\"a\": [1, null]}')", {"a": [1, None]}),
    ("$parse('{\"a\": null}').a", None),
]


@pytest.mark.parametrize(("expression", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_expression(expression: str, expected: Any) -> None:
    """Each expression gives the value that the JSONata reference gives, with numbers typed as JSON would show them."""
    result = evaluate(expression, {"states": STATES})
    assert result == expected
    assert type(result) is type(expected)


def test_numbers_without_fraction_are_ints_at_every_depth() -> None:
    """30.0 is written 30, as there is one kind of number in JSON."""
    result = evaluate("{'a': [$x, $x / 2], 'b': {'c': $x}}", {"x": 30.0})
    assert json.dumps(result) == '{"a": [30, 15], "b": {"c": 30}}'


def test_random_is_in_the_unit_interval() -> None:
    """$random gives a number in [0, 1), seeded or not."""
    assert 0 <= evaluate("$random()", {}) < 1
    assert 0 <= evaluate("$random($s)", {"s": 12}) < 1


def test_uuid_is_a_version_four_uuid() -> None:
    """$uuid gives a random UUID, another one at each call."""
    first, second = evaluate("[$uuid(), $uuid()]", {})
    assert uuid.UUID(first).version == 4
    assert first != second


@pytest.mark.parametrize(
    "value", ["it's", 'say "hi"', "back\\slash", "line\nbreak", "é 😀", "%}", "$eval('1+1')", "`x`", "\u2028"]
)
def test_strings_are_bound_as_they_are(value: str) -> None:
    """No character of a value can break or change an expression."""
    assert evaluate("$v & '!'", {"v": value}) == value + "!"
    assert evaluate("$states.input.x", {"states": {"input": {"x": value}}}) == value


def test_bound_values_are_left_unchanged() -> None:
    """Evaluating an expression does not alter what was bound, null included."""
    value = {"a": None, "b": [1.0, None]}
    evaluate("$v ~> |$|{'a': 1}|", {"v": value})
    assert value == {"a": None, "b": [1.0, None]}


REFUSED = [
    ("$eval('1+1')", r"\$eval is not supported"),
    ("$states.input.x ?? 1", r"'\?\?' is not part of JSONata 2\.0\.6"),
    ("$states.input.x ?: 1", r"'\?:' is not part of JSONata 2\.0\.6"),
    ("1 +", "S0207"),
    ("1 / 0", "D1001"),
    ("'a' + 1", "T2001"),
    ("$nosuch(1)", "T1006"),
    ("$error('enough')", "enough"),
    ("function($x) { $x }", "unsupported result type"),
    ("{'f': $uuid}", "unsupported result type"),
    ("$partition([1], 0)", "at least 1"),
    ("$range(1, 5, 0)", "must not be 0"),
    ("$range(1, 100000, 1)", "at most 1000"),
    ("$hash('a', 'CRC32')", "expected one of MD5"),
    ("$parse('{')", "not a JSON document"),
    ("($f := function($n) { $f($n + 1) + 1 }; $f(0))", "D1011"),
]


@pytest.mark.parametrize(("expression", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refusal(expression: str, message: str) -> None:
    """What cannot be evaluated raises QueryError with the evaluator's reason."""
    with pytest.raises(QueryError, match=message):
        evaluate(expression, {"states": STATES})


def test_question_marks_in_strings_and_regular_expressions_are_no_operators() -> None:
    """Only the operators themselves are refused."""
    assert evaluate("$contains('a??b', '??')", {}) is True
    assert evaluate("$replace('aXb', /X??b/, '-')", {}) == re.sub(r"X??b", "-", "aXb")


def test_an_expression_is_compiled_once() -> None:
    """The compiled form is kept, as states of a Map evaluate the same expression many times."""
    assert compile_expression("$cached + 1") is compile_expression("$cached + 1")


def test_threads_evaluate_the_same_expression_at_the_same_time() -> None:
    """Parallel branches share compiled expressions and never see each other's variables."""
    expression = "$map([1..20], function($v) { $v * $n })"
    wrong: list[Any] = []

    def work(n: int) -> None:
        for _ in range(30):
            result = evaluate(expression, {"n": n})
            if result != [v * n for v in range(1, 21)]:
                wrong.append(result)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
