"""Building the campaign example step after step in this process, with the real context and a real store."""

import asyncio
import io
import json
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.fingerprint import fingerprint
from orchestrator.domain.output import Artifact, Output, artifact_to_json
from orchestrator.domain.selectors import resolve_input
from orchestrator.domain.workflow import Workflow
from orchestrator.skills import SkillCall, SkillRegistry, StepContext, perform
from orchestrator.workflows import load_file

FOLDER = Path(__file__).parents[3] / "examples" / "campaign"
BRIEF = json.loads((FOLDER / "brief.json").read_text())
AUDIO_UPDATE = json.loads((FOLDER / "audio-update.json").read_text())
TENANT = "default"


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return loaded


def workflow(name: str) -> Workflow:
    return load_file(FOLDER / f"{name}.yaml")


def ancestors(graph: Workflow, step: str) -> set[str]:
    direct = set(graph.steps[step].depends_on)
    return direct.union(*(ancestors(graph, other) for other in direct))


@dataclass
class Build:
    """One run of a workflow: what each step made, and which steps were executed to make it."""

    outputs: dict[str, Output] = field(default_factory=dict)
    executed: set[str] = field(default_factory=set)

    def hashes(self, step: str) -> dict[str, str]:
        return {str(a.filename): a.content_hash for a in self.outputs[step].artifacts}

    def find(self, step: str, filename: str) -> Artifact:
        return next(a for a in self.outputs[step].artifacts if a.filename == filename)


class Workshop:
    """Builds campaigns in one store, and does not execute a skill twice for one input."""

    def __init__(self, root: Path) -> None:
        self.store = ArtifactStore(str(root), durable=False)
        self.registry = SkillRegistry()
        self.registry.load_modules(["examples.campaign.skills"])
        self.known: dict[tuple[str, str], Output] = {}

    def build(self, name: str, payload: Mapping[str, Any], until: str | None = None) -> Build:
        """Run a workflow, or only one step of it and what that depends on."""
        definition, made = workflow(name), Build()
        wanted = set(definition.steps) if until is None else {until, *ancestors(definition, until)}
        steps: dict[str, Any] = {}
        for step_id in filter(wanted.__contains__, definition.graph.order):
            step = definition.steps[step_id]
            resolved = resolve_input(step.input, {"trigger": payload, "steps": steps})
            key = step.skill, fingerprint(resolved)
            if key not in self.known:
                self.known[key] = self.perform(step.skill, resolved)
                made.executed.add(step_id)
            output = made.outputs[step_id] = self.known[key]
            steps[step_id] = {"data": output.data, "artifacts": [artifact_to_json(a) for a in output.artifacts]}
        return made

    def perform(self, skill_id: str, resolved: Mapping[str, Any]) -> Output:
        call = SkillCall("run", "step", 1, TENANT, skill_id, resolved)
        ctx = StepContext.for_call(call, self.store)
        with ThreadPoolExecutor(1) as threads:
            return asyncio.run(perform(self.registry.get(skill_id), call, ctx, threads))

    def keep(self, content: bytes) -> dict[str, Any]:
        """Store bytes and return them the way a selector picks an artifact."""
        return artifact_to_json(self.store.put_bytes(TENANT, content, type="application/octet-stream"))

    def read(self, build: Build, step: str, filename: str) -> bytes:
        return self.store.read(build.find(step, filename))

    def game(self, build: Build) -> dict[str, bytes]:
        """Return the files in the zip of the game."""
        return unpack(self.read(build, "bundle_game_template", "game.zip"))


def unpack(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
