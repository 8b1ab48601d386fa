"""Formats: what each release added to the log, and what may be written while programs of different releases run.

A format is a number. A release that adds an event, a field, or a field of definitions that earlier programs do not
know raises `FORMAT`, and declares in the codec (or in `domain/workflow.py`) what it added. None of it is written until
an operator runs `orchestrator migrate --finish`. After that, programs that do not know the format do not touch it.
"""

from orchestrator.domain.errors import FormatNotFinished, NeedsNewerProgram

FORMAT = 2
"""The newest format that this program reads and writes."""


class Formats:
    """The formats that may be written to one database. The set only grows."""

    def __init__(self, finished: int = FORMAT) -> None:
        self.finished = min(finished, FORMAT)
        self._newest = finished

    def finish(self, payload: str) -> None:
        """Record that a format was finished: `payload` is its number, or empty if notifications may have been lost."""
        if payload.isdecimal():
            self.finished = max(self.finished, min(int(payload), FORMAT))
            self._newest = max(self._newest, int(payload))

    def require(self, needed: int, what: str) -> None:
        """Check that a format may be written; `what` names what needs it.

        Raises:
            FormatNotFinished: the format may not be written yet.
        """
        if needed > self.finished:
            raise FormatNotFinished(
                f"{what} needs format {needed}, but only format {self.finished} may be written: older programs may "
                "still be running. When none are, run `orchestrator migrate --finish`.",
                format=needed,
                finished=self.finished,
            )

    def require_known(self, what: str) -> None:
        """Check that this program knows every format of the log, for work that must not ignore unknown content.

        Raises:
            NeedsNewerProgram: programs that know a newer format may have written to the log.
        """
        if self._newest > FORMAT:
            raise NeedsNewerProgram(
                f"{what} must know the whole log, which may have format {self._newest}; this program knows {FORMAT}",
                format=self._newest,
            )
