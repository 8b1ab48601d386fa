"""Plans for people: what will run, may run or is reused, why, and the outcome."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from orchestrator.cli.output.terminal import duration, print_json, print_line, print_table

_STYLES = {"run": "bold yellow", "may_run": "yellow", "reuse": "green", "omit": "dim"}
_WORDS = {"run": "run", "may_run": "may run", "reuse": "reuse", "omit": "omit"}

Document = dict[str, Any]


def print_plan(plan: Document, *, as_json: bool) -> None:
    """Print a plan."""
    if as_json:
        print_json(plan)
        return
    rows: list[Sequence[Text | str]] = [
        (
            step["stepId"],
            Text(_WORDS[step["action"]] + (" (forced)" if step["forced"] else ""), _STYLES[step["action"]]),
            duration(step["estimatedMs"]),
            step["reason"],
            " > ".join(step["chain"][:-1]),
        )
        for step in plan["steps"]
    ]
    print_table(("step", "plan", ">took before", "reason", "via"), rows, empty="no steps")
    print_line("")
    counts = plan["counts"]
    print_line(
        f"{counts['run']} run and {counts['may_run']} may run (took {duration(plan['estimatedMs'])} before), "
        f"{counts['reuse']} reused ({duration(plan['savedMs'])} saved)"
    )
    print_line(f"plan hash {plan['planHash']}")


def print_outcome_of_plan(plan: Document, steps: Sequence[Document], before: Mapping[str, float]) -> None:
    """Print the plan next to the outcome, and the time saved. `before` maps steps to earlier durations in ms."""
    happened = {step["stepId"]: step for step in steps}
    rows: list[Sequence[Text | str]] = []
    spent = 0.0
    for planned in plan["steps"]:
        step = happened[planned["stepId"]]
        spent += step["durationMs"] if step["status"] == "completed" else 0.0
        rows.append(
            (
                planned["stepId"],
                Text(_WORDS[planned["action"]], _STYLES[planned["action"]]),
                _outcome(step),
                duration(before.get(planned["stepId"])),
                duration(step["durationMs"]) if step["status"] == "completed" else "",
            )
        )
    print_table(("step", "planned", "outcome", ">took before", ">took now"), rows, empty="no steps")
    total = sum(before.values())
    print_line("")
    print_line(f"{duration(spent)} of work instead of {duration(total)}: {duration(total - spent)} saved")


def _outcome(step: Document) -> Text:
    if step["status"] != "skipped":
        return Text("executed" if step["status"] == "completed" else step["status"], "bold yellow")
    words = {"reused": "reused", "unchanged": "unchanged, not executed", "cache": "from the cache"}
    return Text(words.get(step["hitReason"], "skipped"), "green")
