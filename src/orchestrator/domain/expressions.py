"""JMESPath as selectors speak it: checked when it is parsed, and blind to the order of keys.

The language is that of jmespath.org, made strict and deterministic:

- what would only fail when a step runs fails when the expression is parsed: functions that do not exist or
  get the wrong number of arguments, a slice of step 0, a literal that is no canonical JSON, nesting without
  end, `&expression` where no function takes one;
- equal documents give equal results: `keys`, `values`, `*` and `to_string` go by the sorted keys of an
  object, not by the order in which somebody happened to write them.
"""

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, cast

from jmespath import ast, functions, parser, visitor

from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.fingerprint import canonical

Node = Mapping[str, Any]
"""A node of a parsed expression: `type`, `children` and, for some types, `value`."""

MAX_DEPTH = 100
"""How deep the parts of an expression may nest."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`((?:\\.|[^`\\])*)`""", re.DOTALL)


class SelectorError(ValueError):
    """An expression does not parse, or failed on the data it met."""


@lru_cache(maxsize=16384)
def parse(expression: str) -> Node:
    """Return the parsed form of an expression.

    Raises:
        SelectorError: the expression does not parse, or could only ever fail; the message says where or why.
    """
    if _PLAIN.fullmatch(expression):  # nearly all there are; the general parser is ten times slower
        fields = [ast.field(name) for name in expression.split(".")]
        return fields[0] if len(fields) == 1 else ast.subexpression(fields)
    _check_literals(expression)
    try:
        node = parser.Parser().parse(expression).parsed
        _check(node, 0)
    except SelectorError:
        raise
    except RecursionError:
        raise SelectorError("the expression is nested too deeply") from None
    except (ValueError, TypeError) as error:  # jmespath's own errors are ValueErrors
        raise SelectorError(str(error)) from error
    return node


def evaluate(node: Node, context: Any) -> Any:
    """Return what a parsed expression picks from a context of plain JSON.

    Raises:
        SelectorError: the expression met a value of a type it cannot take.
    """
    try:
        return _INTERPRETER.visit(cast("Any", node), context)
    except RecursionError:
        raise SelectorError("the document is nested too deeply") from None
    except InputNotCanonical as error:
        raise SelectorError(error.message) from error
    except (ValueError, TypeError, ArithmeticError) as error:  # jmespath compares and adds as Python does
        raise SelectorError(str(error)) from error


@lru_cache(maxsize=16384)
def plain_path(expression: str) -> tuple[str, ...] | None:
    """Return the fields that an expression names one below the other; None if it does anything else."""
    return tuple(expression.split(".")) if _PLAIN.fullmatch(expression) else None


def follow(path: Iterable[str], value: Any) -> Any:
    """Return what `evaluate` would for fields one below the other."""
    try:
        for name in path:
            value = value.get(name)
    except AttributeError:
        return None
    return value


class _Functions(functions.Functions):
    """The functions of JMESPath; those that would show the order of keys go by sorted keys."""

    @functions.signature({"types": ["object"]})
    def _func_keys(self, value: dict[str, Any]) -> list[str]:
        return sorted(value)

    @functions.signature({"types": ["object"]})
    def _func_values(self, value: dict[str, Any]) -> list[Any]:
        return [value[key] for key in sorted(value)]

    @functions.signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        return value if isinstance(value, str) else canonical(value).decode()


class _Interpreter(visitor.TreeInterpreter):
    def visit_value_projection(self, node: Any, value: Any) -> list[Any] | None:
        projected = self.visit(node["children"][0], value)
        if not isinstance(projected, dict):
            return None
        picked = (self.visit(node["children"][1], projected[key]) for key in sorted(projected))
        return [item for item in picked if item is not None]


_INTERPRETER = _Interpreter(visitor.Options(custom_functions=_Functions()))


def _check_literals(expression: str) -> None:
    for match in _QUOTED.finditer(expression):
        text = match[1]
        if text is None:
            continue
        try:
            canonical(json.loads(text.replace("\\`", "`")))
        except (ValueError, RecursionError):
            raise SelectorError(f"`{text}` is not JSON; write text as `\"...\"` or '...'") from None
        except InputNotCanonical as error:
            raise SelectorError(f"literal `{text}`: {error.message}") from None


def _check(node: Node, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise SelectorError(f"the expression is nested more than {MAX_DEPTH} levels deep")
    match node["type"]:
        case "slice":
            if node["children"][2] == 0:
                raise SelectorError("the step of a slice cannot be 0")
            return
        case "function_expression":
            _check_call(node, depth)
            return
        case "expref":
            raise SelectorError("&expression can only be given to a function such as map or sort_by")
        case _:
            for child in node["children"]:
                _check(child, depth + 1)


def _check_call(node: Node, depth: int) -> None:
    name, arguments = node["value"], node["children"]
    known = _Functions.FUNCTION_TABLE
    if name not in known:
        close = get_close_matches(name, known, n=1)
        raise SelectorError(f"there is no function {name}()" + (f"; did you mean {close[0]}()?" if close else ""))
    signature = known[name]["signature"]
    least, exact = len(signature), not signature[-1].get("variadic")
    if len(arguments) < least or (exact and len(arguments) > least):
        wanted = f"{'' if exact else 'at least '}{least} argument{'' if least == 1 else 's'}"
        raise SelectorError(f"{name}() takes {wanted}, not {len(arguments)}")
    for index, argument in enumerate(arguments):
        takes_expression = index < least and "expref" in signature[index]["types"]
        if takes_expression != (argument["type"] == "expref"):
            needs = "an &expression" if takes_expression else "a value, not an &expression"
            raise SelectorError(f"argument {index + 1} of {name}() must be {needs}")
        _check(argument["children"][0] if takes_expression else argument, depth + 1)
