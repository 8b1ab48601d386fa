"""Output of the commands that trigger a run: its id at once, and with `--wait` how it ended."""

from typing import TYPE_CHECKING, Any

from orchestrator.cli.output.terminal import print_json, print_line

if TYPE_CHECKING:
    from orchestrator.cli.waiting import Waited

Document = dict[str, Any]


class Announcement:
    """Prints what a command that triggers a run answers.

    For people that is the run's id, as soon as there is one. JSON is one document: the accepted run, or with `wait` the
    run at its end.
    """

    def __init__(self, *, as_json: bool, wait: bool) -> None:
        self._as_json = as_json
        self._wait = wait

    def accept(self, accepted: Document) -> None:
        """Print an accepted run."""
        if not self._as_json:
            print_line(accepted["runId"])
        elif not self._wait:
            print_json(accepted)

    def end(self, waited: "Waited | None") -> int:
        """Print how the run ended, if it was waited for, and return the exit code."""
        if waited is None:
            return 0
        if self._as_json:
            print_json(waited.runs[0])
        return waited.exit_code
