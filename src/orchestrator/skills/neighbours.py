"""Let files of skills import the modules beside them, also when other folders have modules of the same name.

A folder of skills is searched after everything that is installed. The first `helpers` that is imported from any folder
is the module `helpers`. When a file in another folder imports the `helpers` beside itself, it gets that one, under a
name of its own (see `private_name`). This holds for imports in functions too, and for modules that neighbours import.

To know which file imports, the modules in these folders have an `__import__` of their own in their `__builtins__`.
"""

import builtins
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

_searched: set[Path] = set()  # folders where neighbours may come from
_homes: set[Path] = set()  # those of them that hold files of skills
_files: dict[str, Path] = {}  # by private name


def search(folder: Path, *, holds_skills: bool) -> None:
    """Let imports find modules in a folder, after all installed ones, so that none of those is shadowed."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    _searched.add(folder)
    if holds_skills:
        _homes.add(folder)
    if not any(isinstance(finder, NeighbourFinder) for finder in sys.meta_path):
        place = next((at for at, finder in enumerate(sys.meta_path) if finder is PathFinder), len(sys.meta_path))
        sys.meta_path.insert(place, NeighbourFinder())


def private_name(file: Path) -> str:
    """Return the name under which the module in a file, or the package of an `__init__.py`, is imported by path."""
    stem = file.parent.name if file.name == "__init__.py" else file.stem
    name = f"_skills_{sha256(str(file).encode()).hexdigest()[:12]}_{stem.replace('-', '_').replace('.', '_')}"
    _files[name] = file
    return name


class NeighbourFinder(MetaPathFinder):
    """Finds modules as `PathFinder` does, and those with a private name. Modules of skills get their own imports."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module, or None."""
        file = _files.get(fullname)
        if file is None:
            spec = PathFinder.find_spec(fullname, path, target)
        elif file.is_file():
            inside = [str(file.parent)] if file.name == "__init__.py" else None
            spec = importlib.util.spec_from_file_location(fullname, file, submodule_search_locations=inside)
        else:
            return None
        if spec is not None and type(spec.loader) is SourceFileLoader and spec.origin is not None:
            home = _home_of(Path(spec.origin))
            if home is not None:
                spec.loader = _Loader(spec.loader.name, spec.loader.path, home)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, home: Path) -> None:
        super().__init__(name, path)
        self._home = home

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(self._home)}
        super().exec_module(module)


def _home_of(file: Path) -> Path | None:
    """Return the folder of skills that a module belongs to, the innermost one, or None if it is installed."""
    if "site-packages" in file.parts:
        return None
    return next((folder for folder in file.parents if folder in _homes), None)


def _importer(home: Path) -> Callable[..., Any]:
    """Return the `__import__` of the modules in a folder."""
    known: dict[str, str | None] = {}

    def import_from_home(
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - the names of `__import__`
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        if level == 0:
            first, dot, rest = name.partition(".")
            if first not in known:
                known[first] = _private_neighbour(home, first)
            name = f"{known[first] or first}{dot}{rest}"
        return builtins.__import__(name, globals, locals, fromlist, level)

    return import_from_home


def _private_neighbour(home: Path, name: str) -> str | None:
    """Return the private name of a neighbour whose name belongs to a module of another folder, or None."""
    neighbour = next((file for file in (home / name / "__init__.py", home / f"{name}.py") if file.is_file()), None)
    if neighbour is None:
        return None
    module = sys.modules.get(name)
    if module is None:
        spec = importlib.util.find_spec(name)
        origin = None if spec is None else spec.origin
    else:
        origin = getattr(module, "__file__", None)
    if origin is None or Path(origin).resolve() == neighbour:
        return None
    found = Path(origin).resolve()
    folder = found.parent.parent if found.name == "__init__.py" else found.parent
    return private_name(neighbour) if folder in _searched else None
