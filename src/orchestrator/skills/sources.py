"""Load Python skills from modules by name, from files and folders by path, and from installed packages."""

import importlib
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from orchestrator.domain.errors import Fault
from orchestrator.skills.errors import InvalidSkills, describe
from orchestrator.skills.neighbours import private_name, search
from orchestrator.skills.skill import FunctionSkill, skill_of, skills_of

_LEFT_OUT = ("_", ".", "test_", "conftest.py")

ENTRY_POINT_GROUP = "orchestrator.skills"


def load_module(source: str) -> ModuleType:
    """Import `package.module`, `path/to/skills.py` or `path/to/package` (a folder with `__init__.py`).

    Loading a path again, also in another spelling, returns the same module. A file or package can import what is next
    to it (see `neighbours`), and modules by name are also searched for in the current folder. Installed modules take
    precedence.

    Raises:
        InvalidSkills: there is no such module, or importing it fails in any way, including `sys.exit`; the cause is
            chained.
    """
    try:
        if _is_path(source):
            return _load_path(Path(source))
        search(Path.cwd().resolve(), holds_skills=False)
        return importlib.import_module(source)
    except InvalidSkills:
        raise
    except BaseException as error:
        raise InvalidSkills(f"skills {source!r}", [_fault(source, error)]) from error


def files_of(source: str) -> list[str] | None:
    """Return the files with skills in a folder that is not a package, or None if the source is anything else.

    These are its `.py` files and the `.yaml` and `.yml` files that have `skills:` at the top level, sorted by name.
    Subfolders, `conftest.py`, and files whose names begin with `_`, `.` or `test_` are left out.
    """
    folder = Path(source)
    if not folder.is_dir() or (folder / "__init__.py").is_file():
        return None
    names = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith(_LEFT_OUT))
    return [str(file) for file in names if file.suffix == ".py" or _declares_skills(file)]


def _declares_skills(file: Path) -> bool:
    """Return whether a YAML file declares skills: a folder may have workflows too."""
    if file.suffix not in {".yaml", ".yml"}:
        return False
    with file.open(encoding="utf-8", errors="replace") as lines:
        return any(line.startswith(("skills:", '"skills":')) for line in lines)


def load_installed() -> list[FunctionSkill]:
    """Return the skills of the entry points of the group `orchestrator.skills` (modules or functions).

    Raises:
        InvalidSkills: some cannot be loaded, or are neither modules nor skills; all of them are listed.
    """
    found: list[FunctionSkill] = []
    faults: list[Fault] = []
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP)):
        try:
            loaded = entry.load()
        except BaseException as error:  # noqa: BLE001 - an import can fail in any way; all failures are listed
            faults.append(_fault(entry.name, error))
            continue
        single = skill_of(loaded)
        if single is not None:
            found.append(single)
        elif isinstance(loaded, ModuleType):
            found.extend(skills_of(loaded))
        else:
            faults.append(Fault(entry.name, f"{entry.value} is neither a module nor a skill"))
    if faults:
        raise InvalidSkills(f"entry points {ENTRY_POINT_GROUP!r}", faults)
    return found


def _fault(source: str, error: BaseException) -> Fault:
    exits = isinstance(error, SystemExit)
    return Fault(source, f"importing it called sys.exit: {describe(error)}" if exits else describe(error))


def _is_path(source: str) -> bool:
    return "/" in source or source.endswith(".py") or Path(source).is_dir()


def _load_path(path: Path) -> ModuleType:
    file = path.resolve()
    is_package = file.is_dir()
    if is_package:
        file /= "__init__.py"
    if not file.is_file():
        raise InvalidSkills(f"skills {str(path)!r}", [Fault(str(path), f"there is no file {file}")])
    if file.suffix != ".py":
        raise InvalidSkills(f"skills {str(path)!r}", [Fault(str(path), f"{file} is not a Python file")])
    search(file.parent.parent if is_package else file.parent, holds_skills=True)
    return importlib.import_module(private_name(file))
