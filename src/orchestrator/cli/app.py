"""The verbs and where they stand. What they do is in the modules named here."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orchestrator.cli.auditing import export, head, import_, keygen
from orchestrator.cli.auditing import verify as verify_log
from orchestrator.cli.caching import explain, invalidate, list_entries, prune, stats
from orchestrator.cli.demo import demo
from orchestrator.cli.keys import create, list_keys, revoke
from orchestrator.cli.projections import list_projections, rebuild, retry_event, skip_event, verify
from orchestrator.cli.replaying import diff, replay
from orchestrator.cli.retention import apply_retention, list_archives, verify_archives
from orchestrator.cli.run import run
from orchestrator.cli.runs import artifacts, cancel, history, list_runs, status, steps, trigger, version
from orchestrator.cli.serve import api, dev, projector, worker
from orchestrator.cli.updates import retry, update
from orchestrator.cli.workflows import list_workflows, register, show, validate


class Sections(TyperGroup):
    """Lists the verbs by what they are for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel, in the order of the verbs."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            panels.setdefault(command.rich_help_panel, []).append((name, command.get_short_help_str(formatter.width)))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


# Plain help: the decorated one takes half a second to import.
app = typer.Typer(
    cls=Sections,
    name="orchestrator",
    help="Runs workflows: every step once, results reused, nothing lost, proof afterwards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _every_verb(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the verb; `main` looks for `--debug` itself, wherever it stands."""
    del debug


app.command("dev", rich_help_panel="Serve")(dev)
app.command("api", rich_help_panel="Serve")(api)
app.command("worker", rich_help_panel="Serve")(worker)
app.command("projector", rich_help_panel="Serve")(projector)

app.command("demo", rich_help_panel="Run")(demo)
app.command("run", rich_help_panel="Run")(run)
app.command("trigger", rich_help_panel="Run")(trigger)
app.command("update", rich_help_panel="Run")(update)
app.command("retry", rich_help_panel="Run")(retry)
app.command("cancel", rich_help_panel="Run")(cancel)

app.command("status", rich_help_panel="Look")(status)
app.command("steps", rich_help_panel="Look")(steps)
app.command("artifacts", rich_help_panel="Look")(artifacts)
app.command("history", rich_help_panel="Look")(history)
app.command("replay", rich_help_panel="Look")(replay)
app.command("diff", rich_help_panel="Look")(diff)

listing = typer.Typer(help="List runs.", no_args_is_help=True, rich_markup_mode=None)
listing.command("list")(list_runs)
app.add_typer(listing, name="runs", rich_help_panel="Look")

registry = typer.Typer(help="List, show, check and register workflows.", no_args_is_help=True, rich_markup_mode=None)
registry.command("list")(list_workflows)
registry.command("show")(show)
registry.command("validate")(validate)
registry.command("register")(register)
app.add_typer(registry, name="workflows", rich_help_panel="Look")

cache = typer.Typer(help="Look into the step cache, withdraw results.", no_args_is_help=True, rich_markup_mode=None)
cache.command("stats")(stats)
cache.command("list")(list_entries)
cache.command("explain")(explain)
cache.command("invalidate")(invalidate)
cache.command("prune")(prune)
app.add_typer(cache, name="cache", rich_help_panel="Look")

projections = typer.Typer(
    help="See where the read models are, rebuild and compare them.", no_args_is_help=True, rich_markup_mode=None
)
projections.command("list")(list_projections)
projections.command("rebuild")(rebuild)
projections.command("verify")(verify)
projections.command("retry")(retry_event)
projections.command("skip")(skip_event)
app.add_typer(projections, name="projections", rich_help_panel="Look")

audit = typer.Typer(help="Prove the log, carry it out and in.", no_args_is_help=True, rich_markup_mode=None)
audit.command("verify")(verify_log)
audit.command("head")(head)
audit.command("export")(export)
audit.command("import")(import_)
audit.command("keygen")(keygen)
app.add_typer(audit, name="audit", rich_help_panel="Look")

keeping = typer.Typer(help="Archive old runs, check the archive.", no_args_is_help=True, rich_markup_mode=None)
keeping.command("apply")(apply_retention)
keeping.command("list")(list_archives)
keeping.command("verify")(verify_archives)
app.add_typer(keeping, name="retention", rich_help_panel="Look")

keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)
keys.command("create")(create)
keys.command("list")(list_keys)
keys.command("revoke")(revoke)
app.add_typer(keys, name="keys", rich_help_panel="Serve")

app.command("version", rich_help_panel="Look")(version)
