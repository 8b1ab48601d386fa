"""Every statement on what belongs to tenants names the tenant, or stands here with the reason why it need not."""

import re

import pytest

from tests.architecture.sources import files

TABLES = {"runs", "run_steps", "artifacts", "workflows", "step_cache", "flights", "run_queue", "cache_epochs", "keys"}
TABLES |= {"step_progress", "step_logs", "sessions", "dispatches", "pull_workers"}
OF_ALL = {
    "claims": "workers serve all tenants",
    "progress": "a worker tells of the runs it owns, by their ids",
    "dispatches.drop_stray": "a worker removes what ended runs left behind, whosever they were",
    "gauges": "figures about the installation, for its own tenant only",
    "removal": "retention takes away runs by their ids, whosever they are",
    "audit.large_data": "an audit looks at the log of all tenants",
    "selection": "retention looks at the runs of all tenants",
    "code_history": "all tenants share the skills",
    "run_queue": "a rebuild compares the queue of all tenants",
    "reader.progress": "watchers of a run have been checked to be of its tenant",
    "reader.queues": "figures about the installation, for its own tenant only",
}
BLOCK = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:orchestrator\.)?(\w+)")


def blind(name: str, text: str) -> list[str]:
    """Return the blocks of a file that touch what belongs to tenants without naming the tenant."""
    _, *pairs = BLOCK.split(text)
    return [
        f"{name}.{block}"
        for block, statement in zip(pairs[::2], pairs[1::2], strict=True)
        if TABLES.intersection(TABLE.findall(statement)) and not re.search(r"\btenant\b", statement)
    ]


def test_every_statement_names_the_tenant() -> None:
    beside = [path for path in files("src", suffix=".sql") if path.parent.name != "migrations"]
    assert len(beside) > 10
    found = [each for path in beside for each in blind(path.stem, path.read_text(encoding="utf-8"))]
    assert [each for each in found if each not in OF_ALL and each.split(".")[0] not in OF_ALL] == []
    assert {name for name in OF_ALL if any(each == name or each.startswith(f"{name}.") for each in found)} == set(
        OF_ALL
    )


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM runs", "UPDATE orchestrator.keys SET x = 1", "SELECT 1 JOIN flights"]
)
def test_a_statement_without_a_tenant_is_found(statement: str) -> None:
    assert blind("x", f"-- name: a\n{statement} WHERE run_id = %(run_id)s") == ["x.a"]
    assert blind("x", f"-- name: a\n{statement} WHERE tenant = %(tenant)s") == []
