"""Execute the calls of a test: the skills it has, or the results it chose."""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.output import Output
from orchestrator.skills.call import SkillCall
from orchestrator.skills.perform import perform
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.skill import FunctionSkill, Skill
from orchestrator.skills.threads import DaemonThreads
from orchestrator.testing.collected import CollectingContext
from orchestrator.workers.executor import OnBegun, ignore, spilled


class CollectingExecutor:
    """Performs calls as a worker does, and keeps the context and the exception of each attempt.

    Args:
        skills: the skills of the test.
        store: where artifacts go.
        chosen: results of steps by step id. An exception is raised, any other value is the step's data.
        secrets: secrets by name.
    """

    def __init__(
        self, skills: SkillRegistry, store: ArtifactStore, chosen: Mapping[str, Any], secrets: Mapping[str, str]
    ) -> None:
        self._skills = skills
        self._store = store
        self._chosen = {step: FunctionSkill("chosen", _giving(result)) for step, result in chosen.items()}
        self._secrets = secrets
        self._threads = DaemonThreads()
        self.contexts: list[CollectingContext] = []
        self.exceptions: dict[str, Exception] = {}

    def skill(self, skill_id: str) -> str | None:
        """Return `id@version` of a skill. A skill that is only in the chosen results has the version `chosen`."""
        return self._skills.label(skill_id) or f"{skill_id}@chosen"

    def trouble(self) -> str | None:
        """Return None: what a test lacks fails its calls."""
        return None

    async def execute(self, call: SkillCall, begun: OnBegun = ignore) -> Output:
        """Perform a call; see `perform` for the errors it raises."""
        skill: Skill = self._chosen.get(call.step_id) or self._skills.get(call.skill_id)
        context = CollectingContext(call, self._store, self._secrets)
        self.contexts.append(context)
        begun()
        try:
            return await spilled(self._store, call.tenant, await perform(skill, call, context, self._threads))
        except Exception as error:
            self.exceptions[call.step_id] = error
            raise


def _giving(result: Any) -> Callable[[], Any]:
    async def give() -> Any:
        if isinstance(result, Exception) or (isinstance(result, type) and issubclass(result, Exception)):
            raise result
        return result

    return give
