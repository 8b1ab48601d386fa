"""The document lists every figure there is, and none that there is not."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from orchestrator.bootstrap.core import open_core
from orchestrator.settings import Settings
from orchestrator.telemetry.gauges import Exposition

DOCUMENT = Path(__file__).parents[3] / "docs" / "observability.md"


async def test_every_figure_is_documented(database_url: str, tmp_path: Path) -> None:
    with open_core(Settings(database_url=database_url, data_dir=tmp_path)) as core:
        text = (await Exposition(core.metrics, core.database, deadline=30.0).text()).decode()
    there = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(text)
        if family.name.startswith("orchestrator_")
    }
    assert len(there) > 20
    assert set(re.findall(r"^\| `(orchestrator_\w+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)) == there
