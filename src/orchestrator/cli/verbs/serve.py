"""The commands that serve until they are stopped: dev, api, worker, projector, pull-worker."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from orchestrator.cli.options import DataDir, Executor, Host, MetricsPort, Port, Server, Skills, WorkflowFiles, listed

Projecting = Annotated[
    bool,
    typer.Option(
        "--projector/--no-projector",
        help="Also run a projector in this process. Of several projectors, one is active and the others stand by.",
    ),
]
Reload = Annotated[
    bool,
    typer.Option("--reload", help="Load skills and workflows again when their files change. Executing steps may end."),
]


def dev(
    *,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    workflows: WorkflowFiles = None,
    skills: Skills = None,
    executor: Executor = None,
    reload: Reload = False,
) -> None:
    """Serve everything in one process: API, worker, projector and an embedded Postgres.

    Prints `ready http://HOST:PORT` when it accepts requests. On SIGINT or SIGTERM it releases its runs.
    If a definition changed under the same version, it is a development version, such as 1.0.0+dev.1.

    Example: orchestrator dev --reload --workflows examples/campaign --skills examples/campaign/skills
    """
    with _loading():
        from orchestrator.cli.serving.server import Parts, serve

    serve(
        Parts(api=True, worker=True, projector=True, migrates=True, development=True, reloads=reload),
        host=host,
        port=port,
        data_dir=data_dir,
        workflows=tuple(workflows) if workflows else None,
        skills=listed(skills),
        executor=executor,
    )


def api(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    workflows: WorkflowFiles = None,
    projector: Projecting = True,
) -> None:
    """Serve the HTTP API, and keep the read models up to date.

    Prints `ready http://HOST:PORT` when it accepts requests.

    Example: orchestrator api --port 8000 --workflows workflows/
    """
    with _loading():
        from orchestrator.cli.serving.server import Parts, serve

    serve(
        Parts(api=True, projector=projector),
        host=host,
        port=port,
        data_dir=data_dir,
        workflows=tuple(workflows) if workflows else None,
    )


def worker(
    data_dir: DataDir = None,
    skills: Skills = None,
    executor: Executor = None,
    projector: Projecting = False,
    metrics_port: MetricsPort = None,
) -> None:
    """Run a worker: claim runs and execute their steps.

    Prints `ready worker ID` when it claims runs. On SIGINT or SIGTERM it releases its runs.

    Example: orchestrator worker --skills studio.skills --skills more_skills.yaml
    """
    with _loading():
        from orchestrator.cli.serving.server import Parts, serve

    serve(
        Parts(worker=True, projector=projector),
        data_dir=data_dir,
        skills=listed(skills),
        executor=executor,
        metrics_port=metrics_port,
    )


def projector(data_dir: DataDir = None, metrics_port: MetricsPort = None) -> None:
    """Run a projector: keep the read models up to date.

    Prints `ready projector`.

    Example: orchestrator projector --data-dir /var/lib/orchestrator
    """
    with _loading():
        from orchestrator.cli.serving.server import Parts, serve

    serve(Parts(projector=True), data_dir=data_dir, metrics_port=metrics_port)


def pull_worker(
    pool: Annotated[str, typer.Option(metavar="NAME", help="The pool whose attempts are executed.")],
    *,
    server: Server = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="A label of this machine, such as gpu. Can be repeated.")
    ] = None,
    slots: Annotated[int, typer.Option(min=1, max=1000, help="How many attempts are executed at the same time.")] = 8,
    skills: Skills = None,
    executor: Executor = None,
) -> None:
    """Execute steps of a pool for a server: take them over HTTP and report their results.

    Needs an outbound connection only, and a key in ORCHESTRATOR_KEY (`orchestrator keys create NAME --role executor
    --pool POOL`). Prints `ready pull-worker ID`. On SIGINT or SIGTERM it finishes what it executes, or gives it up.

    Example: orchestrator pull-worker --server https://studio.example --pool far --label gpu --skills studio.skills
    """
    with _loading():
        from orchestrator.cli.serving.pulling import pull

    pull(pool, label or (), slots, server=server, skills=listed(skills), executor=executor)


@contextmanager
def _loading() -> Iterator[None]:
    """Import modules without garbage collection, and exclude them from later collections.

    Imported modules are never freed. Collecting during the import takes a tenth of its time, and after a crash runs
    wait for this process to start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
