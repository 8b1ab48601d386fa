"""Who may ask, in a terminal.

    app.py         the verbs and where they stand
    serve.py       dev, api, worker, projector               server.py, endpoint.py   what they do
    run.py         run                                       single.py      what it does
    runs.py        trigger, cancel, status, ... runs list    reports.py     what is printed of them
    workflows.py   workflows list, show, ...                 checks.py, definitions.py
    projections.py projections list, rebuild, ...            rebuilds.py    what they do and print
    replaying.py   replay, diff                              past.py         what they do
    auditing.py    audit verify, head, export, ...           evidence.py    what they do
    migrate.py     migrate                                   migrations.py   what it does and prints
    demo.py        demo                                      showcase.py    what it does
    verb.py        a verb, and groups of verbs               answers.py     stdout, kept for answers
    client.py      what verbs ask for                        local.py       who answers here
                                                             remote.py      who answers elsewhere
    progress.py    a run as it goes on                       watch.py       how it is shown, on stderr
    visible.py     text from elsewhere, shown and never obeyed
    terminal.py    what goes to stdout                       logging.py     the log, on stderr
    meter.py       how far long work is, on stderr           audit_reports.py, replay_reports.py
    tree.py        steps as a tree                           blocks.py      rows where a table does not fit
    inputs.py, options.py, downloads.py, actor.py            process.py     event loop and signals
    complaint.py   what users can put right                  errors.py      from an error to one clear line

The modules with verbs import what they need inside of their verbs, so that help comes at once.
"""

import sys

_DEBUG = "--debug"


def main() -> None:
    """Run the command line and exit with its code."""
    from orchestrator.cli.app import app  # noqa: PLC0415 - other parts of this package do without Typer

    words = sys.argv[1:]
    debug = _DEBUG in words
    try:
        app([word for word in words if word != _DEBUG], prog_name="orchestrator")
    except Exception as error:
        if debug:
            raise
        from orchestrator.cli.errors import complain  # noqa: PLC0415 - needs every room's errors

        sys.exit(complain(error))
