"""Import the modules of skills again after their files have changed, for `dev --reload`."""

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

_OWN = Path(__file__).resolve().parents[1]
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def roots_of(sources: Iterable[str]) -> list[Path]:
    """Return the folders whose modules belong to sources of skills: where their files lie.

    A source that cannot be found, or is installed, has none.
    """
    roots: dict[Path, None] = {}
    for source in sources:
        path = Path(source)
        if not path.exists():
            path = _file_of(source) or path
        if path.exists() and _INSTALLED.isdisjoint(path.resolve().parts):
            roots[path.resolve().parent] = None
            if path.is_dir():
                roots[path.resolve()] = None
    return list(roots)


def imported_below(folders: Iterable[Path]) -> Mapping[str, ModuleType]:
    """Return the imported modules whose files are in these folders or below, without installed ones."""
    roots = tuple(folders)
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__" and _belongs(Path(file), roots):
            found[name] = module
    return found


@contextmanager
def reimporting(folders: Iterable[Path]) -> Iterator[None]:
    """Import the modules below folders again in this block. If it raises, the modules of before are back."""
    roots = tuple(folders)
    importlib.invalidate_caches()
    before = imported_below(roots)
    for name in before:
        del sys.modules[name]
    try:
        yield
    except BaseException:
        for name in imported_below(roots):
            del sys.modules[name]
        sys.modules.update(before)
        raise


def _belongs(file: Path, roots: tuple[Path, ...]) -> bool:
    if not any(file.is_relative_to(root) for root in roots):
        return False
    return _INSTALLED.isdisjoint(file.parts) and not file.is_relative_to(_OWN) and not file.is_relative_to(sys.prefix)


def _file_of(module: str) -> Path | None:
    """Return the file of the top-level package of a module, or None."""
    try:
        spec = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
