"""Whatever somebody with all rights does to the log, the rows or the artifacts, the audit names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from orchestrator.application.core import Core
from orchestrator.audit.audit import Finding
from orchestrator.audit.chain import Chain, ChainHead
from orchestrator.bootstrap.auditing import build_auditor
from orchestrator.postgres.sql import load_sql
from tests.integration.audit.campaign import recorded
from tests.world.core import open_world

SQL = load_sql(__file__)


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Core]:
    with open_world(url, folder) as world:
        yield world.core


def head_of(core: Core) -> ChainHead:
    return Chain(core.database, core.log.recorder).head()


def tamper(url: str, *names: str, position: int = 0) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL.disarm)
        for name in names:
            connection.execute(SQL[name], {"position": position})


def findings(core: Core, head: ChainHead | None = None) -> list[Finding]:
    return list(build_auditor(core).verify(heads=[head] if head else []))


async def test_a_log_that_nobody_touched_has_no_findings(database_url: str, tmp_path: Path) -> None:
    await recorded(database_url, tmp_path)
    with opened(database_url, tmp_path) as core:
        assert findings(core, head_of(core)) == []


@pytest.mark.parametrize("name", ["changed", "deleted", "swapped"])
async def test_what_was_done_to_the_log_is_named_with_its_position(
    database_url: str, tmp_path: Path, name: str
) -> None:
    await recorded(database_url, tmp_path)
    with opened(database_url, tmp_path) as core:
        head_of(core)
        tamper(database_url, name, position=12)
        assert [found.place for found in findings(core) if found.kind == "chain"] == ["position 12"]


async def test_a_tail_that_was_cut_is_found(database_url: str, tmp_path: Path) -> None:
    await recorded(database_url, tmp_path)
    with opened(database_url, tmp_path) as core:
        last = head_of(core).position
        tamper(database_url, "cut", position=last - 3)
        assert [found.place for found in findings(core) if found.kind == "chain"] == [f"position {last - 3}"]


async def test_a_cut_of_the_tail_and_of_the_chain_is_found_with_a_head(database_url: str, tmp_path: Path) -> None:
    await recorded(database_url, tmp_path)
    with opened(database_url, tmp_path) as core:
        head = head_of(core)
        tamper(database_url, "cut", "cut_chain", position=head.position - 3)
        head_of(core)
        assert [found for found in findings(core) if found.kind == "chain"] == []
        assert [found.place for found in findings(core, head) if found.kind == "chain"] == [
            f"position {head.position - 3}"
        ]


async def test_a_rewritten_log_with_a_new_chain_does_not_come_to_the_head(database_url: str, tmp_path: Path) -> None:
    await recorded(database_url, tmp_path)
    with opened(database_url, tmp_path) as core:
        head = head_of(core)
        tamper(database_url, "changed", "cut_chain", position=12)
        head_of(core)
        assert [found.place for found in findings(core, head) if found.kind == "chain"] == [f"position {head.position}"]


async def test_a_forged_event_at_the_end_is_one_that_could_not_have_happened(database_url: str, tmp_path: Path) -> None:
    await recorded(database_url, tmp_path)
    with opened(database_url, tmp_path) as core:
        head_of(core)
        tamper(database_url, "forged")
        assert any(found.kind == "history" and "had ended" in found.message for found in findings(core))


async def test_a_row_that_was_edited_is_named(database_url: str, tmp_path: Path) -> None:
    ids = await recorded(database_url, tmp_path)
    with opened(database_url, tmp_path) as core:
        tamper(database_url, "row")
        found = findings(core)
        assert [(each.kind, each.place) for each in found] == [("read model", f"runs {ids[0]}")]
        assert "status is 'failed' instead of 'completed'" in found[0].message


async def test_an_artifact_that_is_gone_is_named(database_url: str, tmp_path: Path) -> None:
    ids = await recorded(database_url, tmp_path)
    with opened(database_url, tmp_path) as core:
        made = core.reader.artifacts("default", ids[0])[0]
        path = Path(urlsplit(made["uri"]).path)
        assert path.is_file()
        path.unlink()
        assert [(each.kind, each.place) for each in findings(core)] == [("artifact", f"run {ids[0]}, step plan")]
