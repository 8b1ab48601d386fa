"""Excerpts of the output of a program or service, short enough for an error message."""

EXCERPT_CHARACTERS = 200


def beginning(output: bytes) -> str:
    """Return the beginning of an output on one line, at most 200 characters; empty if it has no visible text."""
    line = _on_one_line(output[: 4 * EXCERPT_CHARACTERS])
    return line if len(line) <= EXCERPT_CHARACTERS else f"{line[: EXCERPT_CHARACTERS - 1]}…"


def last_line(output: bytes) -> str:
    """Return the last line that is not blank, where programs usually report why they failed."""
    lines = output.decode("utf-8", "replace").splitlines()
    return beginning(next((line for line in reversed(lines) if line.strip()), "").encode())


def _on_one_line(output: bytes) -> str:
    """Return the text without control characters and with single spaces."""
    text = output.decode("utf-8", "replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
