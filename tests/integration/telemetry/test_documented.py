"""The document lists every figure there is, and none that there is not."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from orchestrator.telemetry.gauges import Exposition
from tests.world.core import open_world

DOCUMENT = Path(__file__).parents[3] / "docs" / "observability.md"


async def test_every_figure_is_documented(database_url: str, tmp_path: Path) -> None:
    with open_world(database_url, tmp_path) as world:
        text = (await Exposition(world.core.metrics, world.core.database, deadline=30.0).text()).decode()
    there = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(text)
        if family.name.startswith("orchestrator_")
    }
    assert len(there) > 20
    assert set(re.findall(r"^\| `(orchestrator_\w+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)) == there
