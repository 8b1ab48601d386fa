"""Who may ask, in a terminal.

    app.py         the verbs and where they stand          errors.py     from an error to one clear line
    serve.py       dev, api, worker, projector             options.py    options that verbs share
    run.py         run                                     terminal.py   what goes to stdout
    runs.py        trigger, status, steps, ... runs list   progress.py   a run as it goes on, on stderr
    workflows.py   workflows list, show, validate, ...     logging.py    the log, on stderr
    demo.py        demo                                    process.py    event loop, signals

Verbs ask through the protocol in `client.py`; `local.py` fulfils it on the data directory or database itself.
Modules that are named in `app.py` import what they need inside of their verbs, so that help comes at once.
"""

import sys

_DEBUG = "--debug"


def main() -> None:
    """Run the command line and exit with its code."""
    from orchestrator.cli.app import app  # noqa: PLC0415 - other parts of this package do without Typer

    words = sys.argv[1:]
    debug = _DEBUG in words
    try:
        app([word for word in words if word != _DEBUG])
    except Exception as error:
        if debug:
            raise
        from orchestrator.cli.errors import complain  # noqa: PLC0415 - needs every room's errors

        sys.exit(complain(error))
