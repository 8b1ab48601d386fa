"""Options and arguments that several commands share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli.completion import complete_run
from orchestrator.domain.bounds import MAX_PRIORITY, MIN_PRIORITY

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Directory of the embedded Postgres and the artifacts "
        "(env: ORCHESTRATOR_DATA_DIR; default: .orchestrator).",
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        min=0,
        max=65535,
        help="Serve GET /metrics on this port; 0 picks a free one (env: ORCHESTRATOR_METRICS_PORT).",
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Call this server instead of using the data directory (env: ORCHESTRATOR_SERVER).",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="API key or token for the server. Other users can see command lines, so prefer ORCHESTRATOR_KEY.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]
Skills = Annotated[
    list[str] | None,
    typer.Option(
        "--skills",
        metavar="SOURCE",
        help="Source of skills: package.module, a .py file, a directory (a package or files), or a .yaml "
        "file of declarations. Can be repeated (env: ORCHESTRATOR_SKILLS).",
    ),
]
Executor = Annotated[
    Literal["thread", "process"] | None,
    typer.Option(
        help="Run plain-function skills in threads or in processes. A process can be killed when a skill does not stop "
        "(env: ORCHESTRATOR_EXECUTOR; default: thread).",
    ),
]
WorkflowFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--workflows",
        metavar="PATH",
        help="Register this workflow file, or every .yaml, .yml and .json workflow in this directory. Can be repeated "
        "(env: ORCHESTRATOR_WORKFLOWS).",
    ),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on (env: ORCHESTRATOR_HOST; default: 127.0.0.1).")]
Port = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Port to listen on; 0 picks a free one (env: ORCHESTRATOR_PORT; default: 8000)."
    ),
]
Payload = Annotated[
    str | None,
    typer.Option(
        "--payload", metavar="JSON", help="The trigger payload: a JSON object, @file to read a file, or - for stdin."
    ),
]
Change = Annotated[
    str | None,
    typer.Option(
        "--payload",
        metavar="JSON",
        help="Object to merge into the run's payload: a JSON object, @file to read a file, or - for stdin.",
    ),
]
Each = Annotated[
    Path | None,
    typer.Option(
        "--each", metavar="FILE", help="Queue one run for each line of this file, a JSON payload per line; - for stdin."
    ),
]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Label of the run. Can be repeated.")
]
MoreLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="KEY=VALUE",
        help="Label in addition to those of the base run; it replaces one with the same key. Can be repeated.",
    ),
]
OwnPriority = Annotated[
    int | None,
    typer.Option("--priority", min=MIN_PRIORITY, max=MAX_PRIORITY, help="Priority; by default that of the base run."),
]
Wait = Annotated[
    bool,
    typer.Option("--wait", help="Show the run until it ends. Exit code: 0 completed, 1 failed, 130 cancelled."),
]
Priority = Annotated[
    int, typer.Option(min=MIN_PRIORITY, max=MAX_PRIORITY, help="Runs with a higher priority start first.")
]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Take no result from the cache. New results are stored in the cache as usual."),
]
Force = Annotated[
    list[str] | None,
    typer.Option(metavar="STEP", help="Execute this step without using the cache. Can be repeated."),
]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The id of a run, its beginning, @last or @last:WORKFLOW (the newest).",
        autocompletion=complete_run,
    ),
]


@dataclass(frozen=True, slots=True)
class Target:
    """What a command works on: a server or a data directory. The settings supply what is None."""

    data_dir: Path | None
    server: str | None = None
    key: str | None = field(default=None, repr=False)


def listed(given: list[str] | None) -> tuple[str, ...] | None:
    """Return the values of a repeated option, with `a,b` split in two, or None when it was not given."""
    if not given:
        return None
    return tuple(word.strip() for item in given for word in item.split(",") if word.strip())
