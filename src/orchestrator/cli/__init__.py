"""The command line.

    app.py           the Typer application: every command and its group
    verb.py          the classes of commands and of command groups
    verbs/           one function per command: options, help, and calls to the modules below
    local/           commands that work on the database itself, without a server
    serving/         processes that serve: sockets, HTTP with limits, start and stop
    output/          what commands print: JSON, tables, trees, progress
    asking.py        calls to the local database or to a server
    completion.py    what the shell completes
    references.py    references to runs: ids, their beginnings, @last
    batches.py       `trigger --each`
    waiting.py       waiting for runs; results.py reads what they produced
    checks.py        `workflows validate` and `workflows register`; definitions.py finds their files
    downloads.py     `artifacts --download`
    showcase.py      `demo`
    inputs.py        parsing of payloads, labels, ids, ages and times; options.py declares shared options
    process.py       the event loop and the signals
    logging.py       the log, on stderr
    complaint.py     errors that users can fix; errors.py turns every error into one message and an exit code

Modules in verbs/ import what a command needs inside its function, so that `--help` is fast.
"""

import sys

_DEBUG = "--debug"


def main() -> None:
    """Run the command line and exit with its code."""
    from orchestrator.cli.app import app  # noqa: PLC0415 - the rest of this package does not need Typer

    words = sys.argv[1:]
    debug = _DEBUG in words
    try:
        app([word for word in words if word != _DEBUG], prog_name="orchestrator")
    except Exception as error:
        if debug:
            raise
        from orchestrator.cli.errors import complain  # noqa: PLC0415 - imports the errors of every package

        sys.exit(complain(error))
