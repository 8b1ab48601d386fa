"""The verb `health`."""
# ruff: noqa: PLC0415 - help must not wait for what a verb needs

from typing import Annotated, Literal

import typer

from orchestrator.cli.options import AsJson

Service = Literal["api", "worker", "projector"]


def health(
    service: Annotated[Service, typer.Argument(metavar="SERVICE", help="api, worker or projector.")],
    as_json: AsJson = False,
) -> None:
    """Check a service of this host, for the health checks of containers. Exit code 1 if it is unhealthy.

    The API must answer and see its database. A worker must have a current heartbeat. The projector must keep up.

    Example: orchestrator health worker
    """
    from orchestrator.cli.inputs import read_settings
    from orchestrator.cli.local.health import find_problem
    from orchestrator.cli.output.terminal import print_error, print_json, print_line

    problem = find_problem(service, read_settings())
    if as_json:
        print_json({"service": service, "healthy": problem is None, "problem": problem})
    elif problem is None:
        print_line(f"{service} is healthy")
    else:
        print_error(f"{service} is unhealthy: {problem}")
    if problem is not None:
        raise typer.Exit(1)
