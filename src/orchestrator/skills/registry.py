"""The registry of the skills that this process has."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.domain.errors import Fault
from orchestrator.skills.errors import InvalidSkills, SkillConflict, SkillNotFound
from orchestrator.skills.skill import Skill, skill_of, skills_of
from orchestrator.skills.sources import files_of, load_installed, load_module

_DECLARATIONS = (".yaml", ".yml", ".json")
_NONE = (
    'no skill found; decorate a function with @skill("some.id"). The __init__.py of a package must import the modules '
    "that define its skills"
)


_NO_FILES = (
    "no skill found in the .py files of this folder, nor in its .yaml files with `skills:`; "
    "decorate a function with @skill"
)


class SkillRegistry:
    """Skills by id. It is filled once when a process starts, and only read from then on."""

    def __init__(self, skills: Iterable[Skill | Callable[..., Any]] = ()) -> None:
        self._skills: dict[str, Skill] = {}
        self._codes: Mapping[str, str] = {}
        for one in skills:
            self.add(one)

    def __contains__(self, skill_id: str) -> bool:
        return skill_id in self._skills

    def __iter__(self) -> Iterator[Skill]:
        return iter(self._skills.values())

    def __len__(self) -> int:
        return len(self._skills)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all skills, sorted."""
        return tuple(sorted(self._skills))

    def add(self, skill: Skill | Callable[..., Any]) -> None:
        """Add a skill, or a function marked with `@skill`. Adding the same one twice has no effect.

        Raises:
            SkillConflict: another skill has this id.
            TypeError: the value is neither a skill nor a marked function.
        """
        one: Any = skill_of(skill) or skill
        if not hasattr(one, "prepare"):
            raise TypeError(f"{skill!r} is not a skill: mark the function with @skill")
        known = self._skills.setdefault(one.id, one)
        if known is not one and known != one:
            raise SkillConflict(f"two different skills have the id {one.id!r}: {known!r} and {one!r}", skillId=one.id)

    def get(self, skill_id: str) -> Skill:
        """Return the skill with an id.

        Raises:
            SkillNotFound: there is no such skill; the message suggests similar ids.
        """
        try:
            return self._skills[skill_id]
        except KeyError:
            raise SkillNotFound(skill_id, self._skills) from None

    def stamp(self, codes: Mapping[str, str]) -> None:
        """Make the code of skills part of their version: `codes` maps skill ids to fingerprints (see `code`)."""
        self._codes = dict(codes)

    @property
    def is_stamped(self) -> bool:
        """Whether the code of skills is part of their version."""
        return bool(self._codes)

    def label(self, skill_id: str) -> str | None:
        """Return `id@version`, or `id@version+code` if the code is part of the version; None for an unknown skill."""
        skill = self._skills.get(skill_id)
        if skill is None:
            return None
        code = self._codes.get(skill_id)
        return f"{skill_id}@{skill.version}" + (f"+{code}" if code else "")

    def load_modules(self, sources: Iterable[str]) -> None:
        """Add the skills of each source: `package.module`, a `.py` file, a folder or a YAML file.

        A folder with an `__init__.py` is a package. Any other folder means the files in it; see `files_of`.

        Raises:
            InvalidSkills: a source cannot be loaded, or defines no skill.
            SkillConflict: two different skills have the same id.
        """
        for source in sources:
            files = files_of(source)
            if files is None:
                if not self._load_file(source):
                    raise InvalidSkills(f"skills {source!r}", [Fault(source, _NONE)])
            # A file without skills is a neighbour that the others import, but a folder without any is a mistake.
            elif not sum([self._load_file(file) for file in files]):
                raise InvalidSkills(f"skills {source!r}", [Fault(source, _NO_FILES)])

    def _load_file(self, source: str) -> int:
        """Add the skills of a source that is not a folder of files, and return how many it has."""
        if source.endswith(_DECLARATIONS):
            before = len(self._skills)
            self.load_declarations(source)
            return max(1, len(self._skills) - before)
        found = skills_of(load_module(source))
        for each in found:
            self.add(each)
        return len(found)

    def load_entry_points(self) -> None:
        """Add the skills of installed packages (entry-point group `orchestrator.skills`).

        Raises:
            InvalidSkills: some entry points cannot be loaded; all of them are listed.
            SkillConflict: two different skills have the same id.
        """
        for found in load_installed():
            self.add(found)

    def load_declarations(self, path: str | Path) -> None:
        """Add the HTTP and command skills that a YAML file declares.

        Raises:
            InvalidSkills: the file has faults; all of them are listed, each with its path.
            SkillConflict: another skill already has one of the ids.
        """
        from orchestrator.skills.declarations import read_declarations  # noqa: PLC0415 - imports YAML, rarely needed

        for declared in read_declarations(Path(path)):
            self.add(declared)
