"""A skill: something a step can call. This file defines the contract, and skills made from Python functions."""

import inspect
import re
import sys
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, Literal, Protocol, TypeVar, get_type_hints, overload

from orchestrator.domain.errors import InputNotCanonical
from orchestrator.skills.context import StepContext
from orchestrator.skills.errors import SKILL_INPUT_INVALID, SKILL_OUTPUT_INVALID, SkillError
from orchestrator.skills.shape import ShapeMismatch, Untyped, result_shape_of, shape_of

SkillKind = Literal["python", "http", "command"]
Function = TypeVar("Function", bound=Callable[..., Any])

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_MARK = "__skill__"
_MADE = "__skills__"


class Skill(Protocol):
    """What the pipeline in `perform.py` needs of a skill of any kind.

    A `blocking` skill is called in a thread and returns its result; any other skill returns an awaitable.
    """

    @property
    def id(self) -> str:
        """The id that steps use."""
        ...

    @property
    def version(self) -> str:
        """The version. Change it when results may change: cached results of another version are not used."""
        ...

    @property
    def kind(self) -> SkillKind:
        """The kind of the skill, which determines how it is called."""
        ...

    @property
    def blocking(self) -> bool:
        """Whether the call needs a thread."""
        ...

    def prepare(self, document: Any) -> Any:
        """Convert plain JSON input to what the skill takes; raise SkillError(SKILL_INPUT_INVALID) if it is invalid."""
        ...

    def call(self, prepared: Any, ctx: StepContext) -> Any:
        """Call the skill; return the result that `finish` takes or, unless blocking, an awaitable of it."""
        ...

    def finish(self, result: Any) -> Any:
        """Return the result as plain JSON data; raise SkillError(SKILL_OUTPUT_INVALID) if it is invalid."""
        ...


class FunctionSkill:
    """A Python function as a skill: `(input, ctx)`, `(input)` or `()`, sync or async."""

    kind: SkillKind = "python"

    def __init__(self, id: str, function: Callable[..., Any], version: str = "1") -> None:  # noqa: A002
        self.id = checked_name("skill id", id)
        self.version = checked_name("skill version", version)
        self.function = function
        self.blocking = not inspect.iscoroutinefunction(function)
        self._parameters = _parameters(function)
        self._shapes: tuple[Untyped, Untyped] | None = None
        self.call = _caller(function, len(self._parameters))
        try:
            self._shapes = self._build_shapes()
        except NameError:
            # A string annotation uses a name that is not defined yet; it is defined by the first call.
            self._shapes = None

    def __repr__(self) -> str:
        return f"<skill {self.id}@{self.version} {self.function.__module__}.{self.function.__qualname__}>"

    def prepare(self, document: Any) -> Any:
        """Return plain JSON as the type of the function's first parameter.

        Raises:
            SkillError: SKILL_INPUT_INVALID, listing every invalid field.
        """
        shape = (self._shapes or self._built_shapes())[0]
        try:
            return shape.load(document)
        except ShapeMismatch as error:
            raise invalid_input(self.id, error) from error
        except (TypeError, ValueError) as error:
            raise SkillError(SKILL_INPUT_INVALID, f"the input of {self.id} is not JSON: {error}") from error

    def finish(self, result: Any) -> Any:
        """Return the function's result as plain JSON.

        Raises:
            SkillError: SKILL_OUTPUT_INVALID, listing every invalid field.
        """
        shape = (self._shapes or self._built_shapes())[1]
        try:
            return shape.dump(result)
        except (ShapeMismatch, InputNotCanonical) as error:
            raise invalid_output(self.id, error) from error

    def _built_shapes(self) -> tuple[Untyped, Untyped]:
        self._shapes = self._build_shapes()
        return self._shapes

    def _build_shapes(self) -> tuple[Untyped, Untyped]:
        taken = self._hint(self._parameters[0]) if self._parameters else Any
        return shape_of(taken), result_shape_of(self._hint("return"))

    def _hint(self, name: str) -> Any:
        """Resolve one annotation only, so that others (`ctx`) may use names imported just for type checkers."""
        original = inspect.unwrap(self.function)
        if name not in original.__annotations__:
            return Any
        holder = type("Hints", (), {"__annotations__": {name: original.__annotations__[name]}})
        return get_type_hints(holder, globalns=original.__globals__, include_extras=True)[name]


@overload
def skill(id: Function) -> Function: ...


@overload
def skill(id: str | None = None, *, version: str = "1") -> Callable[[Function], Function]: ...


def skill(id: str | Function | None = None, *, version: str = "1") -> Any:  # noqa: A002
    """Register a function as a skill. The function itself is unchanged and can be called directly.

    It is written `@skill("audio.generate_bgm")`, or `@skill` alone: then the id is the name of the function.

    Args:
        id: the name steps use, such as `audio.generate_bgm`; the name of the function if it is not given.
        version: change it whenever the same input may now give another result.

    Raises:
        TypeError: the function is a generator, has other parameters than `(input, ctx)`,
            `(input)` or `()`, has a type that cannot be validated, or its result type contains a set.
        ValueError: the id or version contains characters other than letters, digits, `.`, `_` and `-`.
    """
    if callable(id):
        return skill()(id)

    def mark(function: Function) -> Function:
        made = FunctionSkill(_name_of(function) if id is None else id, function, version)
        setattr(function, _MARK, made)
        module = _module_under_way()
        if module is not None:
            module.setdefault(_MADE, []).append(made)
        return function

    return mark


def _name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function as the id of a skill.

    Raises:
        ValueError: it cannot be an id, such as `<lambda>` or a name that begins with `_`.
    """
    name = getattr(function, "__name__", "")
    if inspect.isfunction(function) and not _NAME.fullmatch(name):
        raise ValueError(f'the name {name!r} cannot be the id of a skill: give one, @skill("some.id")')
    return name


def skill_of(value: object) -> FunctionSkill | None:
    """Return the skill that `@skill` made from a function, or None.

    Only the value's type is inspected first, because a proxy (of a request or a setting, for example) may run code when
    its attributes are read.
    """
    found = getattr(value, _MARK, None) if hasattr(type(value), "__get__") else None
    return found if isinstance(found, FunctionSkill) else None


def skills_of(module: ModuleType) -> list[FunctionSkill]:
    """Return the skills of a module, in order and without duplicates.

    These are the skills that the module holds by name, its own and imported ones, and those created while it was
    imported: in a loop, in a class, or by a function of another module.
    """
    held = (skill_of(value) for value in vars(module).values())
    return list(dict.fromkeys(each for each in (*held, *getattr(module, _MADE, ())) if each is not None))


def _module_under_way() -> dict[str, Any] | None:
    """Return the global names of the innermost module that is being imported, or None if there is none."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    if frame is None:
        return None
    names = frame.f_globals
    name = names.get("__name__", "")
    known = sys.modules.get(name)
    return names if known is not None and known.__dict__ is names and name != "__main__" else None


def checked_name(what: str, name: str) -> str:
    """Return a skill id or version unchanged if it can be recorded as `id@version`.

    Raises:
        ValueError: it is not 1 to 255 letters, digits, `.`, `_` and `-`, or does not begin with a letter or digit.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{what} {name!r} must be 1 to 255 letters, digits, `.`, `_` and `-`")
    return name


def invalid_input(skill_id: str, mismatch: ShapeMismatch) -> SkillError:
    """Return the error for input of the wrong shape."""
    return SkillError(
        SKILL_INPUT_INVALID,
        f"the input of {skill_id} is invalid: {mismatch}",
        details={"faults": mismatch.faults},
    )


def invalid_output(skill_id: str, why: ShapeMismatch | InputNotCanonical) -> SkillError:
    """Return the error for a result that has the wrong shape or is not JSON."""
    faults = (
        why.faults
        if isinstance(why, ShapeMismatch)
        else [{"path": str(why.details.get("path", "$")), "message": str(why.details.get("reason", why))}]
    )
    return SkillError(SKILL_OUTPUT_INVALID, f"the output of {skill_id} is invalid: {why}", details={"faults": faults})


def _parameters(function: Callable[..., Any]) -> list[str]:
    if not inspect.isfunction(function):
        raise TypeError(f"{function!r} cannot be a skill: it is not a function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator; a skill returns one result")
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        raise TypeError(
            f"{function.__qualname__} cannot be a skill: it is a method; make it a function or a staticmethod"
        )
    positional = all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    if not positional or len(parameters) > 2 or (parameters and parameters[0].name in ("ctx", "context")):
        raise TypeError(
            f"{function.__qualname__}{inspect.signature(function)} cannot be a skill: "
            "its parameters must be (input, ctx), (input) or ()"
        )
    return [parameter.name for parameter in parameters]


def _caller(function: Callable[..., Any], parameters: int) -> Callable[[Any, StepContext], Any | Awaitable[Any]]:
    match parameters:
        case 2:
            return function
        case 1:
            return lambda prepared, _ctx: function(prepared)
        case _:
            return lambda _prepared, _ctx: function()
