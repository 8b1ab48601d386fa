"""`dev --reload`: load skills and definitions again when their files change."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from orchestrator.bootstrap.working import check_declared_secrets, load_skills
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.definitions import find_definitions
from orchestrator.domain.errors import DomainError
from orchestrator.domain.workflow import Workflow
from orchestrator.settings import Settings
from orchestrator.skills import SkillRegistry
from orchestrator.skills.reimport import imported_below, reimporting, roots_of

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.3
MAX_FILES = 5_000
"""How many files are watched at most."""

_SUFFIXES = frozenset({".py", ".yaml", ".yml", ".json"})

Stamp = tuple[int, int]
"""Modification time in nanoseconds, and size in bytes."""

Use = Callable[[SkillRegistry | None, list[Workflow]], Awaitable[None]]
"""Uses what was loaded: the skills (None if they are the same as before) and the definitions."""


class WatchedFiles:
    """The files of skills and definitions, and which of them changed.

    The files are those in the folders that sources name, the modules imported from there or below, and the workflow
    files. They are compared by time and size, which also works on file systems without notifications.
    """

    def __init__(self, settings: Settings) -> None:
        self._sources = tuple(settings.skills)
        self._workflows = tuple(settings.workflows)
        self.roots = roots_of(self._sources)
        self._warned = False
        self._used = self._look()
        self._seen = self._used

    def changed(self) -> list[Path]:
        """Return the files that changed since they were loaded, once no more of them change. Blocks for file access."""
        found = self._look()
        settled, self._seen = found == self._seen, found
        if not settled or found == self._used:
            return []
        old, self._used = self._used, found
        return sorted(path for path in old.keys() | found.keys() if old.get(path) != found.get(path))

    def loaded(self) -> None:
        """Watch the modules imported since as well. Blocks for file access."""
        for path, stamp in self._look().items():
            self._used.setdefault(path, stamp)

    def holds_skills(self, path: Path) -> bool:
        """Return whether a file may be one of skills, and not only a definition."""
        return any(path.is_relative_to(root) for root in self.roots) and (
            path.suffix == ".py" or any(path.is_relative_to(Path(source).resolve()) for source in self._sources)
        )

    def _look(self) -> dict[Path, Stamp]:
        stamps: dict[Path, Stamp] = {}
        for path in self._paths():
            try:
                found = path.stat()
            except OSError:  # removed meanwhile
                continue
            stamps[path] = (found.st_mtime_ns, found.st_size)
            if len(stamps) == MAX_FILES:
                if not self._warned:
                    logger.warning("too many files, watching only %s of them", f"{MAX_FILES:,}")
                self._warned = True
                break
        return stamps

    def _paths(self) -> Iterable[Path]:
        for source in (*map(Path, self._sources), *self._workflows):
            if source.is_file():
                yield source.resolve()
        for module in imported_below(self.roots).values():
            yield Path(str(module.__file__))
        for folder in (*self.roots, *(path.resolve() for path in self._workflows if path.is_dir())):
            try:
                yield from (path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())
            except OSError:  # removed meanwhile
                continue


class Reloader:
    """Loads what changed, and keeps the state of before when that fails."""

    def __init__(self, settings: Settings, use: Use) -> None:
        self._settings = settings
        self._use = use
        self._files = WatchedFiles(settings)

    async def watch(self, stop: Awaitable[None]) -> None:
        """Reload on every change until `stop` is done."""
        # A compiled file is only written again when the time of its source changes by a second, or its size.
        sys.dont_write_bytecode = True
        stopping = asyncio.ensure_future(stop)
        try:
            while not stopping.done():
                await asyncio.wait((stopping,), timeout=POLL_SECONDS)
                changed = [] if stopping.done() else await asyncio.to_thread(self._files.changed)
                if changed:
                    await self._reload(changed)
        finally:
            stopping.cancel()

    async def _reload(self, changed: list[Path]) -> None:
        names = ", ".join(path.name for path in changed[:5]) + (" and more" if len(changed) > 5 else "")
        try:
            skills, definitions = await asyncio.to_thread(self._load, changed)
            await self._use(skills, definitions)
        except (DomainError, Complaint) as error:
            logger.error("%s changed, not reloaded; what was loaded before is kept: %s", names, error)  # noqa: TRY400
            return
        logger.info("reloaded: %s", names)

    def _load(self, changed: list[Path]) -> tuple[SkillRegistry | None, list[Workflow]]:
        skills = None
        with reimporting(self._files.roots if any(map(self._files.holds_skills, changed)) else ()):
            if any(map(self._files.holds_skills, changed)):
                skills = load_skills(self._settings, develops=True)
                check_declared_secrets(self._settings, skills)
            definitions = find_definitions(self._settings.workflows, self._settings.max_attempts_bound)
        self._files.loaded()
        return skills, definitions
