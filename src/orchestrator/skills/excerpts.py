"""The telling part of what a program or a service said, short enough for the message of an error."""

EXCERPT_CHARACTERS = 200


def beginning(said: bytes) -> str:
    """Return the beginning of what was said, on one line; empty when there is nothing to show."""
    line = _on_one_line(said[: 4 * EXCERPT_CHARACTERS])
    return line if len(line) <= EXCERPT_CHARACTERS else f"{line[: EXCERPT_CHARACTERS - 1]}…"


def last_line(said: bytes) -> str:
    """Return the last line of what was said that holds something: there programs say why they end."""
    lines = said.decode("utf-8", "replace").splitlines()
    return beginning(next((line for line in reversed(lines) if line.strip()), "").encode())


def _on_one_line(said: bytes) -> str:
    """Return text without control characters and with single spaces."""
    text = said.decode("utf-8", "replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
