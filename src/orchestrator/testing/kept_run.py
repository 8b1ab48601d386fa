"""Run a workflow on a data directory, with a worker and a projector in this process."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from orchestrator.application.caller import Caller
from orchestrator.application.calls import Calls
from orchestrator.bootstrap.core import open_core
from orchestrator.bootstrap.showing import open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.domain.workflow import Workflow
from orchestrator.settings import load_settings
from orchestrator.skills.registry import SkillRegistry
from orchestrator.testing.ran import RanRun, ran_run

_ACTOR = "script"


async def run_in_directory(
    workflow: Workflow, skills: SkillRegistry, payload: Mapping[str, Any], data_dir: Path, timeout_seconds: float
) -> RanRun:
    """Run a workflow to its end, and return what it left behind.

    Other settings come from the environment. Skills run in threads.

    Raises:
        InvalidPayload: the payload does not match the workflow's payloadSchema.
        TimeoutError: the run did not end in time. It was cancelled.
        SettingsError: a setting in the environment is invalid.
    """
    settings = load_settings(data_dir=data_dir, executor="thread")
    tenant = settings.tenant
    async with AsyncExitStack() as stack:
        core = stack.enter_context(open_core(settings))
        stack.enter_context(open_projector(core))
        await stack.enter_async_context(open_worker(core, skills))
        calls = Calls(core, Caller(tenant, _ACTOR))
        registered = await core.workflows.register_development(workflow, tenant=tenant, actor=_ACTOR)
        accepted = await calls.trigger(registered.name, payload, version=registered.version)
        run_id = accepted["runId"]
        try:
            async with asyncio.timeout(timeout_seconds):
                async for _ in calls.events(run_id):
                    pass
        except TimeoutError:
            await calls.cancel(run_id, "timeout")
            message = f"run {run_id} of {workflow.name} did not end within {timeout_seconds:g} s and was cancelled"
            raise TimeoutError(message) from None
        loaded = await core.database.call(core.runs.load, run_id, tenant)
        history = await core.database.call(core.log.read, run_id)
        outputs = {step: state.output for step, state in loaded.run.states() if state.output is not None}
        return await asyncio.to_thread(ran_run, loaded.run, outputs, history, core.store, tenant=tenant)
