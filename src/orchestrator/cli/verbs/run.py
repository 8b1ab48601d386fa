"""The command `run`."""
# ruff: noqa: PLC0415 - `--help` must not import what a command needs

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    AsJson,
    DataDir,
    Executor,
    Force,
    Labels,
    NoCache,
    Payload,
    Priority,
    Skills,
    listed,
)


def run(
    file: Annotated[Path, typer.Argument(metavar="WORKFLOW_FILE", help="A workflow in YAML, JSON or Python.")],
    *,
    payload: Payload = None,
    skills: Skills = None,
    label: Labels = None,
    priority: Priority = 0,
    no_cache: NoCache = False,
    force: Force = None,
    executor: Executor = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Register a workflow, run it once in this process, and show its progress.

    Exit code: 0 completed, 1 failed, 130 cancelled (Ctrl-C cancels the run). SIGTERM releases the run, and a
    worker on the same data continues it.

    A Python file adds the skills that it defines. If it has several workflows, FILE.py:NAME selects one. If the
    definition changed under the same version, it runs as a development version, such as 1.0.0+dev.1.

    Example: orchestrator run examples/campaign/campaign.build.v1.yaml
    --payload @examples/campaign/brief.json --skills examples/campaign/skills
    """
    from orchestrator.cli.inputs import read_labels, read_payload, read_settings
    from orchestrator.cli.local.run import RunOrder, run_once
    from orchestrator.cli.process import hide_secrets, run_async

    order = RunOrder(file, read_payload(payload), read_labels(label), priority, no_cache, tuple(force or ()))
    settings = read_settings(data_dir=data_dir, skills=listed(skills), executor=executor)
    hide_secrets()
    raise typer.Exit(run_async(run_once(settings, order, as_json=as_json)))
