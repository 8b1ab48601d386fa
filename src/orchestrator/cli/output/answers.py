"""The stream that answers go to: stdout, kept free of everything else."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

_STDOUT = 1
_claimed: list[TextIO] = []


def answers() -> TextIO:
    """Return the stream for answers."""
    return _claimed[0] if _claimed else sys.stdout


def claim_stdout() -> None:
    """Keep stdout for answers. From here on, all other output of this process goes to stderr.

    That includes what skills print, what child processes write to the stdout they inherit, and what C code writes to
    file descriptor 1. A `sys.stdout` that somebody has replaced, as tests do, is left alone.
    """
    stdout = sys.__stdout__
    if sys.stdout is None:  # it is closed: nobody wants the answer
        _claimed.append(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open to the end
    if _claimed or stdout is None or sys.stdout is not stdout or stdout.fileno() != _STDOUT:
        return
    stdout.flush()
    _claimed.append(os.fdopen(os.dup(_STDOUT), "w", encoding=stdout.encoding, errors=stdout.errors))
    try:
        os.dup2(2, _STDOUT)
    except OSError:  # stderr is closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDOUT)
        os.close(nowhere)
    if isinstance(stdout, TextIOWrapper):
        stdout.reconfigure(line_buffering=True)  # in step with the log
