"""The commands that serve until they are stopped: dev, api, worker, projector."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from orchestrator.cli.options import DataDir, Executor, Host, MetricsPort, Port, Skills, WorkflowFiles, listed

Projecting = Annotated[
    bool,
    typer.Option(
        "--projector/--no-projector",
        help="Also run a projector in this process. Of several projectors, one is active and the others stand by.",
    ),
]


def dev(
    *,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    workflows: WorkflowFiles = None,
    skills: Skills = None,
    executor: Executor = None,
) -> None:
    """Serve everything in one process: API, worker, projector and an embedded Postgres.

    Prints `ready http://HOST:PORT` when it accepts requests. On SIGINT or SIGTERM it releases its runs.

    Example: orchestrator dev --workflows examples/campaign --skills examples/campaign/skills
    """
    with _loading():
        from orchestrator.cli.serving.server import Parts, serve

    serve(
        Parts(api=True, worker=True, projector=True, migrates=True, develops=True),
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
