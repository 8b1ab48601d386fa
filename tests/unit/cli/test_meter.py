"""The bar of long work."""

from io import StringIO

import pytest
from rich.console import Console
from rich.progress import Progress

from orchestrator.cli.output.meter import _Done


@pytest.mark.parametrize(("total", "told"), [(None, "1,500"), (20_000, "1,500/20,000"), (0, "1,500/0")])
def test_what_is_done_is_told_without_a_total_that_nobody_knows(total: int | None, told: str) -> None:
    console = Console(file=StringIO(), width=80)
    progress = Progress(_Done(), console=console)
    progress.add_task("histories: events", total=total, completed=1500)
    with console.capture() as capture:
        console.print(progress.make_tasks_table(progress.tasks))
    assert capture.get().strip() == told
