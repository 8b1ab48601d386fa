"""Options and arguments that several verbs share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.domain.bounds import MAX_PRIORITY, MIN_PRIORITY

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where our own Postgres and the artifacts live (ORCHESTRATOR_DATA_DIR; .orchestrator).",
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        min=0,
        max=65535,
        help="Answer GET /metrics on this port; 0 takes a free one (ORCHESTRATOR_METRICS_PORT; none).",
    ),
]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Ask this server, not the data directory (ORCHESTRATOR_SERVER)."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="The API key or token for the server. Other users can see command lines, so prefer ORCHESTRATOR_KEY.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
Skills = Annotated[
    list[str] | None,
    typer.Option(
        "--skills",
        metavar="SOURCE",
        help="Where skills come from: package.module, a .py file, a package's folder, or a .yaml of "
        "declarations. Repeat it for more (ORCHESTRATOR_SKILLS).",
    ),
]
Executor = Annotated[
    Literal["thread", "process"] | None,
    typer.Option(
        help="Where skills that are plain functions run. A process can be ended when a skill does not stop "
        "(ORCHESTRATOR_EXECUTOR; thread).",
    ),
]
WorkflowFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--workflows",
        metavar="PATH",
        help="Register this workflow file, or every .yaml, .yml and .json workflow of this folder. Repeat it for more "
        "(ORCHESTRATOR_WORKFLOWS).",
    ),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on (ORCHESTRATOR_HOST; 127.0.0.1).")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one (ORCHESTRATOR_PORT; 8000).")
]
Payload = Annotated[
    str | None,
    typer.Option(
        "--payload", metavar="JSON", help="The trigger payload: a JSON object, @file to read one, - for stdin."
    ),
]
Change = Annotated[
    str | None,
    typer.Option(
        "--payload",
        metavar="JSON",
        help="What the change merges into the run's payload: a JSON object, @file to read one, - for stdin.",
    ),
]
Each = Annotated[
    Path | None,
    typer.Option(
        "--each", metavar="FILE", help="A file of payloads, one JSON object a line: a run for each. - for stdin."
    ),
]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label of the run. Repeat it for more.")
]
Priority = Annotated[
    int, typer.Option(min=MIN_PRIORITY, max=MAX_PRIORITY, help="Runs of a higher priority begin first.")
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of a run.")]


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a verb asks: a server, or a data directory. What is None the settings say."""

    data_dir: Path | None
    server: str | None = None
    key: str | None = field(default=None, repr=False)


def listed(given: list[str] | None) -> tuple[str, ...] | None:
    """Return what a repeated option lists; `a,b` counts as two. None when it was not given."""
    if not given:
        return None
    return tuple(word.strip() for item in given for word in item.split(",") if word.strip())
