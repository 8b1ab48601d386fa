"""Formats: what of the log a release brought, and what may be written while programs of different releases are at work.

A format is a number. A release that brings an event, a field or a word of definitions that earlier programs do not know
raises `FORMAT`, and says in the codec (or in `domain/workflow.py`) what it brought. Until somebody runs `orchestrator
migrate --finish`, nothing of it is written. Afterwards programs that do not know it leave it alone.
"""

from orchestrator.domain.errors import FormatNotFinished, NeedsNewerProgram

FORMAT = 1
"""The newest format that this program reads and writes."""


class Formats:
    """What may be written to one database. It only ever grows."""

    def __init__(self, finished: int = FORMAT) -> None:
        self.finished = min(finished, FORMAT)
        self._newest = finished

    def finish(self, payload: str) -> None:
        """Note that a format was finished: what a notification says of it, or nothing when one may have been lost."""
        if payload.isdecimal():
            self.finished = max(self.finished, min(int(payload), FORMAT))
            self._newest = max(self._newest, int(payload))

    def require(self, needed: int, what: str) -> None:
        """Accept what needs a format.

        Raises:
            FormatNotFinished: it may not be written yet.
        """
        if needed > self.finished:
            raise FormatNotFinished(
                f"{what} needs format {needed}, and only format {self.finished} may be written: older programs may "
                "still be at work. When there are none, run `orchestrator migrate --finish`.",
                format=needed,
                finished=self.finished,
            )

    def require_known(self, what: str) -> None:
        """Accept work that goes wrong when it passes over something unknown.

        Raises:
            NeedsNewerProgram: programs that know a newer format may have written it.
        """
        if self._newest > FORMAT:
            raise NeedsNewerProgram(
                f"{what} has to know all of the log, which may have format {self._newest}; this program knows {FORMAT}",
                format=self._newest,
            )
