"""Lines of the logs of steps: `step │ text`, colored by stream."""

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from rich.text import Text

from orchestrator.cli.output.answers import answers
from orchestrator.cli.output.terminal import open_console, print_error, print_json
from orchestrator.cli.output.visible import visible

if TYPE_CHECKING:
    from orchestrator.skills.call import SkillCall

_STYLES = {"stdout": "", "stderr": "yellow", "log": "cyan"}


class LogPrinter:
    """Prints the lines of a log on stdout, as they come.

    Args:
        run_id: the run.
        as_json: print JSON: one document with all lines or, with `follow`, a document for each line.
        follow: whether new lines are waited for.
    """

    def __init__(self, run_id: str, *, as_json: bool, follow: bool) -> None:
        self._run_id = run_id
        self._as_json = as_json
        self._follow = follow
        self._console = open_console()

    async def print_all(self, lines: AsyncGenerator[Mapping[str, Any], None]) -> None:
        """Print all lines."""
        if self._as_json and not self._follow:
            print_json({"runId": self._run_id, "lines": [line async for line in lines]})
            return
        async for line in lines:
            self._print(line)
        answers().flush()

    def _print(self, line: Mapping[str, Any]) -> None:
        stream = answers()
        text = f"{line['stepId']} │ {visible(line['text'], lines=False)}"
        if self._as_json:
            stream.write(orjson.dumps(line).decode() + "\n")
            stream.flush()
        elif stream.isatty():
            self._console.print(Text(text, style=_STYLES.get(line["stream"], "")), soft_wrap=True)
        else:
            stream.write(text + "\n")
            if self._follow:
                stream.flush()


def show_printed(call: "SkillCall", _stream: str, text: str) -> None:
    """Show a line that a skill prints, on stderr."""
    print_error(f"{call.step_id} │ {text}")
