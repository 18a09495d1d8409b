"""Corrects intrinsic functions where moto differs from Step Functions.

https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from antlr4 import CommonTokenStream, InputStream, Token  # type: ignore[import-untyped]
from moto.stepfunctions.parser.asl.antlr.runtime.ASLIntrinsicLexer import ASLIntrinsicLexer
from moto.stepfunctions.parser.asl.antlr.runtime.ASLIntrinsicParser import ASLIntrinsicParser
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringIntrinsicFunction
from moto.stepfunctions.parser.asl.component.intrinsic.argument.argument import ArgumentLiteral
from moto.stepfunctions.parser.asl.component.intrinsic.function.function import Function
from moto.stepfunctions.parser.asl.component.intrinsic.function.statesfunction.encoding_decoding.base_64_decode import (
    Base64Decode,
)
from moto.stepfunctions.parser.asl.component.intrinsic.function.statesfunction.encoding_decoding.base_64_encode import (
    Base64Encode,
)
from moto.stepfunctions.parser.asl.component.intrinsic.function.statesfunction.generic.string_format import StringFormat
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.parse.asl_parser import SyntaxErrorListener
from moto.stepfunctions.parser.asl.parse.intrinsic.intrinsic_parser import IntrinsicParser
from moto.stepfunctions.parser.asl.parse.intrinsic.preprocessor import Preprocessor

from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.errors import task_failure

__all__ = ["install", "without_python"]

MAXIMUM_CHARACTERS: Final = 10_000
# Escaped braces are represented by private use characters on their way from the parser to States.Format.
_BRACES: Final = {"{": "\ue001", "}": "\ue002"}
_UNESCAPED: Final = {ord(mark): brace for brace, mark in _BRACES.items()}
_CONTROL_CHARACTERS: Final = {"n": "\n", "t": "\t", "r": "\r"}
_FUNCTIONS: Final = (
    "Format, StringToJson, JsonToString, Array, ArrayPartition, ArrayContains, ArrayRange, ArrayGetItem, ArrayLength, "
    "ArrayUnique, Base64Encode, Base64Decode, Hash, JsonMerge, MathRandom, MathAdd, StringSplit, UUID"
)
_ESCAPES: Final = {character: f"\\{letter}" for letter, character in _CONTROL_CHARACTERS.items()}
_CONTROL: Final = re.compile("[\n\t\r]")
_CLASSES: Final = re.compile(r" for +(?:for )?function type '<class '[^']*'>'")
_OBJECTS: Final = re.compile(r", but got:? '.*", re.DOTALL)
_STRING: Final = re.compile(r"'(?:\\.|[^'\\])*'", re.DOTALL)


def _escaped_character(match: re.Match[str]) -> str:
    r"""Replaces Preprocessor._replace_escaped_characters, which leaves ``\'``, ``\{``, ``\}`` and ``\\`` as written."""
    character = match[1]
    return _CONTROL_CHARACTERS.get(character) or _BRACES.get(character) or character


def _parse(src: str) -> tuple[Function, Any]:
    """Replaces IntrinsicParser.parse, which leaves out the arguments that it cannot read. Raises ValueError.

    Its grammar has no line feeds, tabs and the like in strings; they are escaped for it.
    """
    src = _STRING.sub(lambda text: _CONTROL.sub(lambda found: _ESCAPES[found[0]], text[0]), src)
    listener = SyntaxErrorListener()  # type: ignore[no-untyped-call]
    lexer = ASLIntrinsicLexer(InputStream(src))
    parser: Any = ASLIntrinsicParser(CommonTokenStream(lexer))
    for recogniser in (lexer, parser):
        recogniser.removeErrorListeners()
        recogniser.addErrorListener(listener)
    tree = parser.func_decl()
    if parser.getCurrentToken().type != Token.EOF:
        listener.errors.append(f"at {parser.getCurrentToken().text}, behind the end of the call")
    if listener.errors:
        raise ValueError(
            "the intrinsic function call is not valid. Expected States.FUNCTION(ARGUMENTS) with one of "
            f"{_FUNCTIONS}; arguments are paths, numbers, 'texts' and calls"
        )
    function: Function = Preprocessor().visit(tree)
    return function, tree


def _visit_float(_visitor: Preprocessor, ctx: Any) -> ArgumentLiteral:
    """Replaces Preprocessor.visitFunc_arg_float, which reads another token."""
    return ArgumentLiteral(definition_value=float(ctx.NUMBER().getText()))


def _format(self: StringFormat, env: Environment) -> None:
    """Replaces StringFormat._eval_body, which passes the template to str.format, with all of its syntax."""
    template, *values = _arguments(self, env)
    parts = str(template).split("{}")
    if len(parts) != len(values) + 1:
        raise ValueError(f"{len(values)} values for {len(parts) - 1} places in {template!r}")
    texts = [*(self._to_str_repr(value) for value in values), ""]
    filled = "".join(part.translate(_UNESCAPED) + text for part, text in zip(parts, texts, strict=True))
    env.stack.append(filled)


def _encode(self: Base64Encode, env: Environment) -> None:
    """Replaces Base64Encode._eval_body, which accepts ASCII only."""
    (text,) = _arguments(self, env)
    env.stack.append(base64.b64encode(_limited(text).encode()).decode())


def _decode(self: Base64Decode, env: Environment) -> None:
    """Replaces Base64Decode._eval_body, which returns ASCII only."""
    (text,) = _arguments(self, env)
    env.stack.append(base64.b64decode(_limited(text), validate=True).decode())


def _limited(text: Any) -> str:
    if not isinstance(text, str) or len(text) > MAXIMUM_CHARACTERS:
        raise ValueError(f"expected a text of at most {MAXIMUM_CHARACTERS} characters")
    return text


def _arguments(function: Any, env: Environment) -> list[Any]:
    function.argument_list.eval(env=env)
    arguments: list[Any] = env.stack.pop()
    return arguments


def _call(self: StringIntrinsicFunction, env: Environment) -> None:
    """Replaces StringIntrinsicFunction._eval_body, so that a failing function is States.IntrinsicFailure."""
    try:
        self.function.eval(env=env)
    except (ValueError, TypeError, LookupError, AttributeError, binascii.Error) as error:
        reason = without_python(str(error))
        cause = f"The function call '{self.intrinsic_function_derivation}' could not be evaluated: {reason}"
        raise task_failure(env, "States.IntrinsicFailure", cause) from error


def without_python(text: str) -> str:
    """A text of moto's functions without the names of its classes, and without its objects."""
    return _OBJECTS.sub("", _CLASSES.sub("", text))


def install() -> None:
    """Evaluate intrinsic functions as Step Functions does."""
    replace(IntrinsicParser, "parse", staticmethod(_parse))
    replace(Preprocessor, "_replace_escaped_characters", staticmethod(_escaped_character))
    replace(Preprocessor, "visitFunc_arg_float", _visit_float)
    replace(StringFormat, "_eval_body", _format)
    replace(Base64Encode, "_eval_body", _encode)
    replace(Base64Decode, "_eval_body", _decode)
    replace(StringIntrinsicFunction, "_eval_body", _call)
