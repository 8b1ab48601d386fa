"""The program on a terminal of some width, as a person sees it."""

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Mapping
from pathlib import Path

from tests.world.programs import PATIENCE_SECONDS, environment, start

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_HEIGHT = 50


def shown(*words: str | Path, columns: int, env: Mapping[str, str] | None = None) -> str:
    """Run a verb on a terminal and return what it writes there, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _HEIGHT, columns, 0, 0))
    given = {**environment(env), "TERM": "xterm-256color"}
    given = {name: value for name, value in given.items() if name not in ("COLUMNS", "LINES")}
    program = start(words, given, None, [theirs] * 3)
    os.close(theirs)
    said = bytearray()
    try:
        while piece := _read(ours):
            said += piece
        program.wait(PATIENCE_SECONDS)
    finally:
        program.kill()
        program.wait()
        os.close(ours)
    return _ESCAPES.sub("", said.decode()).replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the program has ended
        return b""
