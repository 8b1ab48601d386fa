"""The JMESPath dialect of selectors: validated when it is parsed, and independent of the order of keys.

The language is that of jmespath.org, made strict and deterministic:

- Errors that would only occur when a step runs are reported when the expression is parsed: unknown functions,
  wrong numbers of arguments, slices with step 0, literals that are not canonical JSON, excessive nesting, and
  `&expression` where no function takes one.
- Equal documents give equal results: `keys`, `values`, `*` and `to_string` use the sorted keys of an object,
  not the order in which they were written.
- Every evaluation ends: it has a budget, and everything that takes time or memory is charged to it.
- Values are compared as JSON: `true` is not `1`, also inside arrays and objects; `<` between a number and a
  string is null; `to_number` accepts JSON numbers only. One extension is kept: `<` compares two strings by code point.
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
"""How deep the parts of an expression may be nested."""

MAX_CHARACTERS = 65_536
"""The maximum length of an expression."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_EXACT = 2**53
_MAX_DIGITS = 309  # of an integer that a JSON number, a double, can hold
# An unclosed quote matches up to the end; otherwise the search would start again at every later quote (quadratic).
_QUOTED = re.compile(
    r"""'(?:\\.|[^'\\])*(?:'|\\?\Z)|"(?:\\.|[^"\\])*(?:"|\\?\Z)|`((?:\\.|[^`\\])*)(?:`|\\?\Z)""", re.DOTALL
)


class SelectorError(ValueError):
    """An expression does not parse, or failed on the data it was applied to."""


@lru_cache(maxsize=16384)
def parse(expression: str) -> Node:
    """Return the parsed form of an expression.

    Raises:
        SelectorError: the expression does not parse, or would always fail; the message says where or why.
    """
    if len(expression) > MAX_CHARACTERS:
        raise SelectorError(f"the expression has {len(expression):,} characters, more than {MAX_CHARACTERS:,}")
    if _PLAIN.fullmatch(expression):  # nearly all expressions; the general parser is ten times slower
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
        # The lines after the first repeat the expression.
        message = str(error).partition("\n")[0].removesuffix(":").removesuffix(", for expression")
        raise SelectorError(message[:200]) from error
    return node


def evaluate(node: Node, context: Any, budget: Budget | None = None) -> Any:
    """Return the value that a parsed expression picks from a context of plain JSON.

    Raises:
        SelectorError: the expression cannot be applied to a value of this type.
        BudgetExceeded: the expression takes more work than the budget allows, `MAX_UNITS` units when None.
    """
    try:
        return _Interpreter(budget or Budget()).visit(cast("Any", node), context)
    except RecursionError:
        raise SelectorError("the document is nested too deeply") from None
    except InputNotCanonical as error:
        raise SelectorError(error.message) from error
    except exceptions.JMESPathTypeError as error:  # its own message quotes the whole value, whatever its size
        expected = ", ".join(error.expected_types)
        message = f"{error.function_name}() takes a value of type {expected}, not {error.actual_type}"
        raise SelectorError(message) from None
    except (ValueError, TypeError, ArithmeticError) as error:  # jmespath compares and adds with Python's operators
        raise SelectorError(str(error)[:200]) from error


@lru_cache(maxsize=16384)
def plain_path(expression: str) -> tuple[str, ...] | None:
    """Return the fields of an expression that is a plain path (`a.b.c`); None for any other expression."""
    return tuple(expression.split(".")) if _PLAIN.fullmatch(expression) else None


def follow(path: Iterable[str], value: Any) -> Any:
    """Return what `evaluate` would return for a plain path."""
    try:
        for name in path:
            value = value.get(name)
    except AttributeError:
        return None
    return value


_SORTING = 20
"""About how many other items a sort compares each item with."""


class _Functions(functions.Functions):
    """The functions of JMESPath, charged to a budget.

    They return what the specification says, also where the library behaves like Python.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        """Call a function and charge its arguments; that covers the result too, unless the function multiplies them."""
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
        return value if abs(value) >= _EXACT else math.ceil(value)  # numbers this large have no fraction

    @functions.signature({"types": ["number"]})
    def _func_floor(self, value: float) -> float:
        return value if abs(value) >= _EXACT else math.floor(value)

    def _create_key_func(self, expression: Any, allowed_types: list[str], name: str) -> Any:
        """Return the key function of `min_by`, `max_by` and `sort_by`; all keys must be of one type."""
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
    """An `&expression`. jmespath recognizes it by its class name."""

    def __init__(self, expression: Any, interpreter: "_Interpreter") -> None:
        self.expression = expression
        self._interpreter = interpreter

    def visit(self, node: Any, value: Any) -> Any:
        """Evaluate the expression on an item, and charge for text: it may be a sort key, compared many times."""
        result = self._interpreter.visit(node, value)
        if isinstance(result, str):
            self._interpreter.budget.spend(_SORTING * (len(result) // 32))
        return result


class _Interpreter(visitor.TreeInterpreter):
    """Evaluates one expression on one document."""

    _dict_cls = dict

    # Called for each evaluation, so it does not call the library's `__init__`, which builds everything in advance.
    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    @cached_property
    def _functions(self) -> _Functions:
        return _Functions(self.budget)

    def visit(self, node: Any, value: Any) -> Any:
        """Evaluate one node."""
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
            self.budget.spend_deep(left)  # a comparison ends at the first difference, which may be the last item
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
    """Return whether two JSON values are equal. In Python `True == 1`, at any depth; in JSON they differ."""
    return bool(left == right) and _same_types(left, right)


def _same_types(left: Any, right: Any) -> bool:
    """Return whether two values that are equal in Python have booleans in the same places."""
    match left:
        case list():
            return all(map(_same_types, left, right))
        case dict():
            return all(_same_types(item, right[key]) for key, item in left.items())
        case _:
            return isinstance(left, bool) == isinstance(right, bool)


def _number(text: str) -> int | float | None:
    """Return the number that a text represents in JSON syntax (RFC 8259, section 6), or None if it is no number."""
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
        raise SelectorError(f"unknown function {name}()" + (f"; did you mean {close[0]}()?" if close else ""))
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
