"""The verbs and where they stand. What they do is in the modules named here."""

from typing import Annotated

import typer

from orchestrator.cli.verb import Sections, Verb
from orchestrator.cli.verbs.audit import export, head, import_, keygen
from orchestrator.cli.verbs.audit import verify as verify_log
from orchestrator.cli.verbs.cache import explain, invalidate, list_entries, prune, stats
from orchestrator.cli.verbs.demo import demo
from orchestrator.cli.verbs.keys import create, list_keys, revoke
from orchestrator.cli.verbs.migrate import migrate
from orchestrator.cli.verbs.projections import list_projections, rebuild, retry_event, skip_event, verify
from orchestrator.cli.verbs.replay import diff, replay
from orchestrator.cli.verbs.retention import apply_retention, list_archives, verify_archives
from orchestrator.cli.verbs.run import run
from orchestrator.cli.verbs.runs import artifacts, cancel, history, list_runs, status, steps, trigger, version
from orchestrator.cli.verbs.serve import api, dev, projector, worker
from orchestrator.cli.verbs.updates import retry, update
from orchestrator.cli.verbs.workflows import list_workflows, register, show, validate

# Plain help: the decorated one takes half a second to import.
app = typer.Typer(
    cls=Sections,
    name="orchestrator",
    help="Run workflows: each step once, results reused, every decision on record.",
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
    """Options before the verb; `main` looks for `--debug` itself, wherever it stands."""
    del debug, print_version


app.command("dev", cls=Verb, rich_help_panel="Serve")(dev)
app.command("api", cls=Verb, rich_help_panel="Serve")(api)
app.command("worker", cls=Verb, rich_help_panel="Serve")(worker)
app.command("projector", cls=Verb, rich_help_panel="Serve")(projector)
app.command("migrate", cls=Verb, rich_help_panel="Serve")(migrate)

app.command("demo", cls=Verb, rich_help_panel="Run")(demo)
app.command("run", cls=Verb, rich_help_panel="Run")(run)
app.command("trigger", cls=Verb, rich_help_panel="Run")(trigger)
app.command("update", cls=Verb, rich_help_panel="Run")(update)
app.command("retry", cls=Verb, rich_help_panel="Run")(retry)
app.command("cancel", cls=Verb, rich_help_panel="Run")(cancel)

app.command("status", cls=Verb, rich_help_panel="Look")(status)
app.command("steps", cls=Verb, rich_help_panel="Look")(steps)
app.command("artifacts", cls=Verb, rich_help_panel="Look")(artifacts)
app.command("history", cls=Verb, rich_help_panel="Look")(history)
app.command("replay", cls=Verb, rich_help_panel="Look")(replay)
app.command("diff", cls=Verb, rich_help_panel="Look")(diff)

listing = typer.Typer(cls=Sections, help="List runs.", no_args_is_help=True, rich_markup_mode=None)
listing.command("list", cls=Verb)(list_runs)
app.add_typer(listing, name="runs", rich_help_panel="Look")

registry = typer.Typer(
    cls=Sections, help="List, show, check and register workflows.", no_args_is_help=True, rich_markup_mode=None
)
registry.command("list", cls=Verb)(list_workflows)
registry.command("show", cls=Verb)(show)
registry.command("validate", cls=Verb)(validate)
registry.command("register", cls=Verb)(register)
app.add_typer(registry, name="workflows", rich_help_panel="Look")

cache = typer.Typer(
    cls=Sections,
    help="Inspect the step cache, explain misses, withdraw results.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
cache.command("stats", cls=Verb)(stats)
cache.command("list", cls=Verb)(list_entries)
cache.command("explain", cls=Verb)(explain)
cache.command("invalidate", cls=Verb)(invalidate)
cache.command("prune", cls=Verb)(prune)
app.add_typer(cache, name="cache", rich_help_panel="Look")

projections = typer.Typer(
    cls=Sections,
    help="Show, compare and rebuild the read models.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
projections.command("list", cls=Verb)(list_projections)
projections.command("rebuild", cls=Verb)(rebuild)
projections.command("verify", cls=Verb)(verify)
projections.command("retry", cls=Verb)(retry_event)
projections.command("skip", cls=Verb)(skip_event)
app.add_typer(projections, name="projections", rich_help_panel="Look")

audit = typer.Typer(
    cls=Sections, help="Verify, export and import the log.", no_args_is_help=True, rich_markup_mode=None
)
audit.command("verify", cls=Verb)(verify_log)
audit.command("head", cls=Verb)(head)
audit.command("export", cls=Verb)(export)
audit.command("import", cls=Verb)(import_)
audit.command("keygen", cls=Verb)(keygen)
app.add_typer(audit, name="audit", rich_help_panel="Look")

keeping = typer.Typer(
    cls=Sections, help="Archive old runs, check the archive.", no_args_is_help=True, rich_markup_mode=None
)
keeping.command("apply", cls=Verb)(apply_retention)
keeping.command("list", cls=Verb)(list_archives)
keeping.command("verify", cls=Verb)(verify_archives)
app.add_typer(keeping, name="retention", rich_help_panel="Look")

keys = typer.Typer(cls=Sections, help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)
keys.command("create", cls=Verb)(create)
keys.command("list", cls=Verb)(list_keys)
keys.command("revoke", cls=Verb)(revoke)
app.add_typer(keys, name="keys", rich_help_panel="Serve")

app.command("version", cls=Verb, rich_help_panel="Look")(version)
