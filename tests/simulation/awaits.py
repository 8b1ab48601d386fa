"""Where coroutines wait: what shows that a process was killed at each `await` of a module, and not beside it."""

import ast
import asyncio
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any


def awaits(module: ModuleType) -> set[str]:
    """Return every `await` in the source of a module, as `function: await expression`."""
    return set(_awaits_by_line(str(module.__file__)).values())


def waiting(task: "asyncio.Task[Any]", module: ModuleType) -> Iterator[str]:
    """Yield the awaits of a module at which a suspended task waits, the outermost first."""
    lines = _awaits_by_line(str(module.__file__))
    awaited: Any = task.get_coro()
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        code: CodeType = frame.f_code
        if code.co_filename == module.__file__ and (place := lines.get((code.co_name, frame.f_lineno))) is not None:
            yield place
        awaited = awaited.cr_await


@cache
def _awaits_by_line(file: str) -> dict[tuple[str, int], str]:
    found: dict[tuple[str, int], str] = {}
    for function in ast.walk(ast.parse(Path(file).read_text())):
        if isinstance(function, ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Await):
                    found[function.name, node.lineno] = f"{function.name}: {ast.unparse(node)}"
    return found
