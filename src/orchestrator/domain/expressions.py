"""JMESPath as selectors speak it: checked when it is parsed, and blind to the order of keys.

The language is that of jmespath.org, made strict and deterministic:

- what would only fail when a step runs fails when the expression is parsed: functions that do not exist or
  get the wrong number of arguments, a slice of step 0, a literal that is no canonical JSON, nesting without
  end, `&expression` where no function takes one;
- equal documents give equal results: `keys`, `values`, `*` and `to_string` go by the sorted keys of an
  object, not by the order in which somebody happened to write them;
- an evaluation ends: it has a budget, and everything that takes time or memory is paid from it.
- values are compared as JSON: `true` is not `1`, also inside arrays and objects; `<` between a number and a
  string is null; `to_number` reads JSON numbers only. One addition is kept: `<` compares two strings by code point.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import Any, cast

from jmespath import ast, exceptions, functions, parser, visitor

from orchestrator.domain.budget import Budget, BudgetExceeded
from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.fingerprint import canonical

Node = Mapping[str, Any]
"""A node of a parsed expression: `type`, `children` and, for some types, `value`."""

MAX_DEPTH = 100
"""How deep the parts of an expression may nest."""

MAX_CHARACTERS = 65_536
"""How long an expression may be."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_EXACT = 2**53
_MAX_DIGITS = 309  # of an integer that a JSON number, a double, can hold
# A quote that nothing closes goes on to the end: were it no match, the search would begin anew at every one after it.
_QUOTED = re.compile(
    r"""'(?:\\.|[^'\\])*(?:'|\\?\Z)|"(?:\\.|[^"\\])*(?:"|\\?\Z)|`((?:\\.|[^`\\])*)(?:`|\\?\Z)""", re.DOTALL
)


class SelectorError(ValueError):
    """An expression does not parse, or failed on the data it met."""


@lru_cache(maxsize=16384)
def parse(expression: str) -> Node:
    """Return the parsed form of an expression.

    Raises:
        SelectorError: the expression does not parse, or could only ever fail; the message says where or why.
    """
    if len(expression) > MAX_CHARACTERS:
        raise SelectorError(f"the expression has {len(expression):,} characters, more than {MAX_CHARACTERS:,}")
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
        # After its first line the message repeats the expression.
        message = str(error).partition("\n")[0].removesuffix(":").removesuffix(", for expression")
        raise SelectorError(message[:200]) from error
    return node


def evaluate(node: Node, context: Any, budget: Budget | None = None) -> Any:
    """Return what a parsed expression picks from a context of plain JSON.

    Raises:
        SelectorError: the expression met a value of a type it cannot take.
        BudgetExceeded: it takes more work than the budget has, `MAX_UNITS` units when None.
    """
    try:
        return _Interpreter(budget or Budget()).visit(cast("Any", node), context)
    except RecursionError:
        raise SelectorError("the document is nested too deeply") from None
    except InputNotCanonical as error:
        raise SelectorError(error.message) from error
    except exceptions.JMESPathTypeError as error:  # its own message writes the value out, whatever its size
        expected = ", ".join(error.expected_types)
        message = f"{error.function_name}() takes a value of type {expected}, not {error.actual_type}"
        raise SelectorError(message) from None
    except (ValueError, TypeError, ArithmeticError) as error:  # jmespath compares and adds as Python does
        raise SelectorError(str(error)[:200]) from error


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


_SORTING = 20
"""A sort compares each item with about so many others."""


class _Functions(functions.Functions):
    """The functions of JMESPath, with the answers of its specification where the library gives Python's. All pay."""

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        """Call a function; its arguments, and so its result unless it multiplies them, are paid for."""
        arguments = list(resolved_args)
        for argument in arguments:
            self._budget.spend_shallow(argument)
        return super().call_function(function_name, arguments)

    @functions.signature({"types": ["object"]})
    def _func_keys(self, value: dict[str, Any]) -> list[str]:
        return sorted(value)

    @functions.signature({"types": ["object"]})
    def _func_values(self, value: dict[str, Any]) -> list[Any]:
        return [value[key] for key in sorted(value)]

    @functions.signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        return value if isinstance(value, str) else canonical(value, self._budget).decode()

    @functions.signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, array: list[str]) -> str:
        self._budget.spend(len(array) * len(separator) // 32)
        return separator.join(array)

    @functions.signature({"types": ["array-string", "array-number"]})
    def _func_sort(self, array: list[Any]) -> list[Any]:
        for _ in range(_SORTING):
            self._budget.spend_shallow(array)
        return sorted(array)

    @functions.signature({"types": []})
    def _func_to_number(self, value: Any) -> int | float | None:
        if isinstance(value, str):
            return _number(value)
        return value if _is_number(value) else None

    @functions.signature({"types": ["array", "string"]}, {"types": []})
    def _func_contains(self, subject: list[Any] | str, wanted: Any) -> bool:
        if isinstance(subject, str):
            return isinstance(wanted, str) and wanted in subject
        self._budget.spend_deep(subject)
        return any(_equal(item, wanted) for item in subject)

    @functions.signature({"types": ["number"]})
    def _func_ceil(self, value: float) -> float:
        return value if abs(value) >= _EXACT else math.ceil(value)  # a number this large has no fraction

    @functions.signature({"types": ["number"]})
    def _func_floor(self, value: float) -> float:
        return value if abs(value) >= _EXACT else math.floor(value)

    def _create_key_func(self, expression: Any, allowed_types: list[str], name: str) -> Any:
        """Return what `min_by`, `max_by` and `sort_by` order by; all values must be of one type."""
        key_of = super()._create_key_func(expression, allowed_types, name)  # type: ignore[misc]
        first: list[Any] = []

        def key(item: Any) -> Any:
            found = key_of(item)
            first[:] = first or [found]
            if isinstance(found, str) != isinstance(first[0], str):
                wanted = "string" if isinstance(first[0], str) else "number"
                raise exceptions.JMESPathTypeError(name, found, "number" if wanted == "string" else "string", [wanted])
            return found

        return key


class _Expression:
    """An `&expression`. jmespath knows it by the name of its class."""

    def __init__(self, expression: Any, interpreter: "_Interpreter") -> None:
        self.expression = expression
        self._interpreter = interpreter

    def visit(self, node: Any, value: Any) -> Any:
        """Evaluate it on an item; text may be what many items are compared by."""
        result = self._interpreter.visit(node, value)
        if isinstance(result, str):
            self._interpreter.budget.spend(_SORTING * (len(result) // 32))
        return result


class _Interpreter(visitor.TreeInterpreter):
    """Evaluates one expression on one document."""

    _dict_cls = dict

    def __init__(self, budget: Budget) -> None:  # one is made for each evaluation, so not what the library makes
        self.budget = budget

    @cached_property
    def _functions(self) -> _Functions:
        return _Functions(self.budget)

    def visit(self, node: Any, value: Any) -> Any:
        """Evaluate one part."""
        budget = self.budget
        budget.left -= 1
        if budget.left < 0:
            raise BudgetExceeded
        return _VISITS[node["type"]](self, node, value)

    def visit_expref(self, node: Any, _value: Any) -> Any:
        return _Expression(node["children"][0], self)

    def visit_comparator(self, node: Any, value: Any) -> bool | None:
        left, right = (self.visit(child, value) for child in node["children"])
        if type(left) is type(right):
            self.budget.spend_deep(left)  # a comparison ends at the first difference, but it may be the last item
        match node["value"]:
            case "eq":
                return _equal(left, right)
            case "ne":
                return not _equal(left, right)
            case operator if (_is_number(left) and _is_number(right)) or (
                isinstance(left, str) and isinstance(right, str)
            ):
                return bool(self.COMPARATOR_FUNC[operator](left, right))
            case _:
                return None

    def visit_value_projection(self, node: Any, value: Any) -> list[Any] | None:
        projected = self.visit(node["children"][0], value)
        if not isinstance(projected, dict):
            return None
        self.budget.spend_shallow(projected)
        picked = (self.visit(node["children"][1], projected[key]) for key in sorted(projected))
        return [item for item in picked if item is not None]

    def visit_flatten(self, node: Any, value: Any) -> list[Any] | None:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.budget.spend(sum(len(item) if isinstance(item, list) else 1 for item in base))
        return [each for item in base for each in (item if isinstance(item, list) else (item,))]

    def visit_slice(self, node: Any, value: Any) -> list[Any] | None:
        if not isinstance(value, list):
            return None
        self.budget.spend(len(value))
        return value[slice(*node["children"])]


_VISITS: Mapping[str, Callable[[_Interpreter, Any, Any], Any]] = {
    name.removeprefix("visit_"): getattr(_Interpreter, name) for name in dir(_Interpreter) if name.startswith("visit_")
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal. To Python `True == 1`, at any depth; to JSON it is not."""
    return bool(left == right) and _same_types(left, right)


def _same_types(left: Any, right: Any) -> bool:
    """Whether of two values that are equal to Python each boolean stands opposite a boolean."""
    match left:
        case list():
            return all(map(_same_types, left, right))
        case dict():
            return all(_same_types(item, right[key]) for key, item in left.items())
        case _:
            return isinstance(left, bool) == isinstance(right, bool)


def _number(text: str) -> int | float | None:
    """Return the number that a text writes as JSON does (RFC 8259, section 6); None when it does not."""
    found = _NUMBER.fullmatch(text)
    if found is None or not math.isfinite(number := float(text)):
        return None
    is_whole = found[1] is None and found[2] is None
    return int(text) if is_whole and len(text) <= _MAX_DIGITS else number


def _check_literals(expression: str) -> None:
    for match in _QUOTED.finditer(expression):
        text = match[1]
        if text is None:
            continue
        try:
            canonical(json.loads(text.replace("\\`", "`")))
        except (ValueError, RecursionError):
            raise SelectorError(f"`{_cut(text)}` is not JSON; write text as `\"...\"` or '...'") from None
        except InputNotCanonical as error:
            raise SelectorError(f"literal `{_cut(text)}`: {error.message}") from None


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


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
