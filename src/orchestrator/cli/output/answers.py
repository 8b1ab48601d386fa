"""Stdout, reserved for the results of commands."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

_STDOUT = 1
_claimed: list[TextIO] = []


def answers() -> TextIO:
    """Return the stream for results."""
    return _claimed[0] if _claimed else sys.stdout


def real_stream(stream: TextIO) -> TextIO:
    """Return the stream behind one that collects what skills print (`skills.standard_streams`), or the stream itself.

    Lines of this program go there, also if a skill caused them. The class is not imported, because that takes long.
    """
    found: TextIO = getattr(stream, "outside", stream)
    return found


@contextmanager
def skills_collected() -> Iterator[Callable[[], None]]:
    """Yield a function to call when a live display has replaced the standard streams.

    It puts the streams that collect what skills print, if there are any, before those of the display.
    """
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    replaced: dict[str, TextIO] = {}

    def collect() -> None:
        for name, stream in before.items():
            if hasattr(stream, "around"):
                replaced[name] = getattr(sys, name)
                setattr(sys, name, stream.around(replaced[name]))

    try:
        yield collect
    finally:
        for name, stream in before.items():
            if name in replaced:
                setattr(sys, name, stream)


def claim_stdout() -> None:
    """Reserve stdout for results. From now on, all other output of this process goes to stderr.

    This includes what skills print, what child processes write to the stdout they inherit, and what C code writes to
    file descriptor 1. A replaced `sys.stdout`, as in tests, is unchanged.
    """
    stdout = sys.__stdout__
    if sys.stdout is None:  # stdout is closed: discard the results
        _claimed.append(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - stays open until exit
    if _claimed or stdout is None or sys.stdout is not stdout or stdout.fileno() != _STDOUT:
        return
    stdout.flush()
    _claimed.append(os.fdopen(os.dup(_STDOUT), "w", encoding=stdout.encoding, errors=stdout.errors))
    try:
        os.dup2(2, _STDOUT)
    except OSError:  # stderr is closed
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, _STDOUT)
        os.close(devnull)
    if isinstance(stdout, TextIOWrapper):
        stdout.reconfigure(line_buffering=True)  # keeps the order relative to the log
