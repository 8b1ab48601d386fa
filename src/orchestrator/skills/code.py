"""The code of a skill as a short fingerprint, to notice that it changed while its version did not.

For a Python skill it is that of the file with the function, so that a change of anything in this file counts, and a
change of a module that the file imports does not. For a command skill it covers the command line and the content of
the files that it names by absolute path. An HTTP skill has none: its code is elsewhere.
"""

import inspect
from collections.abc import Iterable
from hashlib import file_digest, sha256
from pathlib import Path

from orchestrator.skills.command import CommandSkill
from orchestrator.skills.skill import FunctionSkill, Skill

LENGTH = 12
"""Hexadecimal digits of a fingerprint."""

_MAX_BYTES = 256 << 20
"""Of larger files, only the size and the time of the last change are covered."""


def codes_of(skills: Iterable[Skill]) -> dict[str, str]:
    """Return the fingerprint of each skill's code, by skill id. Skills whose code cannot be read are left out.

    This reads files, each once, so call it in a thread or before the event loop starts.
    """
    files: dict[Path, str] = {}
    found = {skill.id: _code(skill, files) for skill in skills}
    return {skill_id: code for skill_id, code in found.items() if code is not None}


def _code(skill: Skill, files: dict[Path, str]) -> str | None:
    try:
        if isinstance(skill, FunctionSkill):
            source = inspect.getsourcefile(inspect.unwrap(skill.function))
            return None if source is None else _digest(Path(source), files)[:LENGTH]
        if isinstance(skill, CommandSkill):
            parts = [_part(part, files) for part in skill.command]
            return sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:LENGTH]
    except (OSError, TypeError, ValueError):  # the source is gone, or was never in a file
        return None
    return None


def _part(part: str, files: dict[Path, str]) -> str:
    """Return the content hash of a file, or the part itself. Paths differ between machines, so they do not count."""
    path = Path(part)
    return _digest(path, files) if path.is_absolute() and path.is_file() else part


def _digest(path: Path, files: dict[Path, str]) -> str:
    if path not in files:
        facts = path.stat()
        if facts.st_size > _MAX_BYTES:
            files[path] = sha256(f"{facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()
        else:
            with path.open("rb") as file:
                files[path] = file_digest(file, "sha256").hexdigest()
    return files[path]
