"""The alerts fire when they should, and alerts and dashboard ask only for metrics that exist."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.downloads import ROOT, debian

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "orchestrator.json").read_text(encoding="utf-8"))
METRIC = re.compile(r"\b(?:orchestrator|process)_[a-z_]+\b")
# The documentation names every metric of the program: another test compares the two.
KNOWN = set(METRIC.findall((ROOT / "docs" / "observability.md").read_text(encoding="utf-8")))
OF_PROCESSES = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def known(name: str) -> bool:
    return name in OF_PROCESSES or re.sub(r"_(bucket|sum|count)$", "", name) in KNOWN


def expressions() -> list[str]:
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return alerts + [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_only_metrics_that_exist_are_asked_for() -> None:
    found = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(found) > 25
    assert sorted(name for name in found if not known(name)) == []


def test_the_dashboard_has_no_two_panels_in_one_place() -> None:
    places = {
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    }
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in DASHBOARD["panels"])
    assert max(x for x, _ in places) < 24


@pytest.fixture(scope="module")
def promtool() -> Path:
    return debian("prometheus") / "usr" / "bin" / "promtool"


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "--lint=all", "--lint-fatal", "rules.yml"),
        ("test", "rules", "rules.test.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
    ],
)
def test_prometheus_takes_it(promtool: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run([promtool, *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_queries_of_the_dashboard_are_valid(promtool: Path, tmp_path: Path) -> None:
    """As rules they are parsed; what Grafana fills in is put in first."""
    filled = [text.replace("$__rate_interval", "5m").replace("$job", ".*") for text in expressions()]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(filled)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    words = [promtool, "check", "rules", "panels.yml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_never_fires_would_be_found(promtool: Path, tmp_path: Path) -> None:
    rules = (PROMETHEUS / "rules.yml").read_text(encoding="utf-8")
    broken = rules.replace('state="blocked"}) > 0', 'state="blocked"}) > 99')
    assert broken != rules
    (tmp_path / "rules.yml").write_text(broken)
    (tmp_path / "rules.test.yml").write_text((PROMETHEUS / "rules.test.yml").read_text(encoding="utf-8"))
    words = [promtool, "test", "rules", "rules.test.yml"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode != 0
