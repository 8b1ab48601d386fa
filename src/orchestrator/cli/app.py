"""The Typer application: every command and its group. The commands are defined in `verbs/`."""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from orchestrator.cli.verb import ListsByDefault, Sections, Verb
from orchestrator.cli.verbs.artifacts import list_artifacts, prune_artifacts
from orchestrator.cli.verbs.audit import export, head, import_, keygen
from orchestrator.cli.verbs.audit import verify as verify_log
from orchestrator.cli.verbs.cache import explain, invalidate, list_entries, prune, stats
from orchestrator.cli.verbs.demo import demo
from orchestrator.cli.verbs.health import health
from orchestrator.cli.verbs.keys import create, list_keys, revoke
from orchestrator.cli.verbs.logs import logs
from orchestrator.cli.verbs.migrate import migrate
from orchestrator.cli.verbs.projections import list_projections, rebuild, retry_event, skip_event, verify
from orchestrator.cli.verbs.replay import diff, replay
from orchestrator.cli.verbs.results import outputs, wait
from orchestrator.cli.verbs.retention import apply_retention, list_archives, verify_archives
from orchestrator.cli.verbs.run import run
from orchestrator.cli.verbs.runs import cancel, delete_run, history, list_runs, status, steps, trigger, version
from orchestrator.cli.verbs.serve import api, dev, projector, pull_worker, worker
from orchestrator.cli.verbs.step import step
from orchestrator.cli.verbs.updates import retry, update
from orchestrator.cli.verbs.whoami import whoami
from orchestrator.cli.verbs.workflows import list_workflows, register, restore, retire, show, validate

# Plain help: importing Rich markup for help takes half a second.
app = typer.Typer(
    cls=Sections,
    name="orchestrator",
    help="Run workflows: each step runs once, results are reused, every decision is recorded.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def _every_verb(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    print_version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Declare the options that precede a command. `main` reads `--debug` itself, at any position."""
    del debug, print_version


def _add(panel: str, **verbs: Callable[..., None]) -> None:
    for name, verb in verbs.items():
        app.command(name, cls=Verb, rich_help_panel=panel)(verb)


def _add_group(
    panel: str, name: str, about: str, verbs: Mapping[str, Callable[..., None]], kind: type[Sections] = Sections
) -> None:
    group = typer.Typer(cls=kind, help=about, no_args_is_help=True, rich_markup_mode=None)
    for verb, function in verbs.items():
        group.command(verb, cls=Verb)(function)
    app.add_typer(group, name=name, rich_help_panel=panel)


_add("Serve", dev=dev, api=api, worker=worker, projector=projector, migrate=migrate, health=health)
_add("Serve", step=step, **{"pull-worker": pull_worker})
_add("Run", demo=demo, run=run, trigger=trigger, update=update, retry=retry, cancel=cancel, wait=wait)
_add("Inspect", status=status, steps=steps, outputs=outputs, logs=logs, history=history, replay=replay, diff=diff)
_add_group(
    "Inspect",
    "artifacts",
    "List or copy the artifacts of a run (`artifacts RUN`), and remove content that nothing names.",
    {"list": list_artifacts, "prune": prune_artifacts},
    ListsByDefault,
)
_add_group("Inspect", "runs", "List and delete runs.", {"list": list_runs, "delete": delete_run})
_add_group(
    "Inspect",
    "workflows",
    "List, show, check, register and retire workflows.",
    {
        "list": list_workflows,
        "show": show,
        "validate": validate,
        "register": register,
        "retire": retire,
        "restore": restore,
    },
)
_add_group(
    "Inspect",
    "cache",
    "Inspect the step cache, explain misses and invalidate results.",
    {"stats": stats, "list": list_entries, "explain": explain, "invalidate": invalidate, "prune": prune},
)
_add_group(
    "Inspect",
    "projections",
    "Show, verify and rebuild the read models.",
    {"list": list_projections, "rebuild": rebuild, "verify": verify, "retry": retry_event, "skip": skip_event},
)
_add_group(
    "Inspect",
    "audit",
    "Verify, export and import the log.",
    {"verify": verify_log, "head": head, "export": export, "import": import_, "keygen": keygen},
)
_add_group(
    "Inspect",
    "retention",
    "Archive old runs and verify the archive.",
    {"apply": apply_retention, "list": list_archives, "verify": verify_archives},
)
_add_group(
    "Serve", "keys", "Create, list and revoke API keys.", {"create": create, "list": list_keys, "revoke": revoke}
)
_add("Inspect", whoami=whoami, version=version)
