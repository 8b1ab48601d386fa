"""The process of a pull worker."""

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx
from uuid_utils import uuid7

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.bootstrap.working import check_declared_secrets, load_skills, open_executor
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.inputs import read_settings
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.terminal import print_line
from orchestrator.cli.process import Stop, hide_secrets, run_async
from orchestrator.settings import Settings
from orchestrator.workers.pull_worker import PullRefused, PullWorker

logger = logging.getLogger(__name__)

_INLINE_BYTES = 1 << 30
"""The server moves large data to its store, so none is moved here."""


def pull(pool: str, labels: Sequence[str], slots: int, **given: Any) -> None:
    """Serve until SIGINT or SIGTERM. `given` are settings that override the environment.

    Raises:
        Complaint: no server is given, there are no skills, or the server refuses this worker.
    """
    settings = read_settings(**given)
    if settings.server is None:
        raise Complaint("A pull worker needs a server", "Set --server or ORCHESTRATOR_SERVER.")
    configure_logging(settings)
    key = None if settings.key is None else settings.key.get_secret_value()
    hide_secrets()
    with tempfile.TemporaryDirectory(prefix="orchestrator-pull-") as folder:
        local = settings.model_copy(update={"artifact_url": folder, "spill_bytes": _INLINE_BYTES})
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        client = httpx.AsyncClient(base_url=settings.server, headers=headers, trust_env=False)
        run_async(_pull(local, client, pool, labels, slots))


async def _pull(settings: Settings, client: httpx.AsyncClient, pool: str, labels: Sequence[str], slots: int) -> None:
    stop = Stop(settings.shutdown_grace_seconds)
    skills = load_skills(settings)
    check_declared_secrets(settings, skills)
    known = [label for skill_id in skills.ids if (label := skills.label(skill_id)) is not None]
    if not known:
        raise Complaint("A pull worker needs skills", "Set --skills or ORCHESTRATOR_SKILLS.")
    identity = f"{socket.gethostname()}:{os.getpid()}:{uuid7().hex[-12:]}"
    store = ArtifactStore(settings.artifact_url, _INLINE_BYTES)
    async with (
        client,
        open_executor(settings, skills, store) as executor,
    ):
        worker = PullWorker(
            client, pool, identity, labels=sorted({*labels}), skills=known, executor=executor, slots=slots
        )
        working, stopping = asyncio.create_task(worker.work()), asyncio.create_task(stop.wait())
        print_line(f"ready pull-worker {identity}")
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if working.done() and isinstance(error := working.exception(), PullRefused):
            raise Complaint(f"The server refuses this worker: {error}", "Check ORCHESTRATOR_KEY and --pool.")
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        logger.info("stopping", extra={"signal": stop.signal.name if stop.signal else None})
        await worker.stop(settings.shutdown_grace_seconds)
