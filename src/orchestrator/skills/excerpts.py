"""Excerpts of the output of a program or service, short enough for an error message."""

from orchestrator.skills.masking import MASKER

EXCERPT_CHARACTERS = 200


def start_of(output: bytes, limit: int) -> str:
    """Return the first `limit` bytes of an output as text, with secrets masked, also one that the limit cuts."""
    return MASKER.mask(output[:limit].decode("utf-8", "replace"), is_cut_after=len(output) > limit)


def end_of(output: bytes, limit: int) -> str:
    """Return the end of an output as text, with secrets masked.

    `output` is what is left of it: when it has `limit` bytes, more may have been cut off before.
    """
    return MASKER.mask(output.decode("utf-8", "replace"), is_cut_before=len(output) >= limit)


def beginning(output: bytes) -> str:
    """Return the beginning of an output on one line, at most 200 characters; empty if it has no visible text."""
    line = _on_one_line(start_of(output, 4 * EXCERPT_CHARACTERS))
    return line if len(line) <= EXCERPT_CHARACTERS else f"{line[: EXCERPT_CHARACTERS - 1]}…"


def last_line(text: str) -> str:
    """Return the last line that is not blank, where programs usually report why they failed."""
    lines = text.splitlines()
    return beginning(next((line for line in reversed(lines) if line.strip()), "").encode())


def _on_one_line(text: str) -> str:
    """Return the text without control characters and with single spaces."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
