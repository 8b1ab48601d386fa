"""Whatever is done to an archive file, to the tombstones or to the records of them, it is found and named."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest

from orchestrator.application.core import Core
from orchestrator.audit.transfer import parquet
from orchestrator.audit.transfer.export import read_export, write_export
from orchestrator.bootstrap.auditing import build_auditor
from orchestrator.bootstrap.retaining import build_inspector
from orchestrator.postgres.sql import load_sql
from tests.integration.retention.test_retention import NO_CACHE, kept, plain
from tests.world.core import open_world
from tests.world.echo import open_echo_world

SQL = load_sql(__file__)


@pytest.fixture
async def archive(database_url: str, tmp_path: Path) -> Path:
    """The file of one archived run."""
    async with open_echo_world(database_url, tmp_path) as here:
        await here.register(NO_CACHE)
        await plain(here)
        await plain(here)
        (name,) = (await kept(here.core)).files
    return tmp_path / "archive" / name


def tamper(url: str, *names: str, file: Path | None = None) -> None:
    content = b"" if file is None else file.read_bytes()
    record = {"sha256": sha256(content).hexdigest(), "size_bytes": len(content)}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL.disarm)
        for name in names:
            connection.execute(SQL[name], record)


def faults(core: Core) -> list[tuple[str, str]]:
    """What the archive is found to lack; the audit finds the same."""
    found = [(fault.place, fault.message) for fault in build_inspector(core).verify()]
    audited = [
        (finding.place, finding.message) for finding in build_auditor(core).verify() if finding.kind == "archive"
    ]
    assert audited == found
    return found


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "said"), [(Path.unlink, "missing"), (cut, "truncated"), (flip, "altered")], ids=["gone", "cut", "flipped"]
)
def test_a_file_that_was_harmed_is_named(
    archive: Path, database_url: str, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    harm(archive)
    with open_world(database_url, tmp_path) as world:
        places = dict(faults(world.core))
        name = f"{archive.parent.name}/{archive.name}"
        assert said in places[name]


def test_a_file_that_was_written_anew_is_found_by_the_event_that_differs(
    archive: Path, database_url: str, tmp_path: Path
) -> None:
    rows = list(read_export(archive))
    stream, version, name, state, position = rows[3]
    rows[3] = stream, version, name, state.replace(b"test", b"tset"), position
    assert rows[3][3] != state
    write_export(rows, archive, "parquet")
    tamper(database_url, "change_record", file=archive)
    with open_world(database_url, tmp_path) as world:
        assert faults(world.core) == [
            (
                f"{archive.parent.name}/{archive.name}, run {stream}, position {position}",
                f"{name} differs from what was recorded",
            )
        ]


def test_events_that_were_left_out_are_found(archive: Path, database_url: str, tmp_path: Path) -> None:
    rows = list(read_export(archive))
    write_export(rows[:-1], archive, "parquet")
    tamper(database_url, "change_record", file=archive)
    with open_world(database_url, tmp_path) as world:
        assert [message for _, message in faults(world.core)] == [
            f"has {len(rows) - 1} events, but {len(rows)} were archived"
        ]


def test_tombstones_that_were_changed_are_found_by_the_chain(archive: Path, database_url: str, tmp_path: Path) -> None:
    position = list(read_export(archive))[1][4]
    tamper(database_url, "change_digest")
    with open_world(database_url, tmp_path) as world:
        found = [finding for finding in build_auditor(world.core).verify() if finding.kind == "chain"]
        assert [(one.place, one.message) for one in found] == [
            (f"position {position}", "the archived event differs from what was recorded")
        ]
    tamper(database_url, "delete_tombstone")
    with open_world(database_url, tmp_path) as world:
        found = list(build_auditor(world.core).verify())
        assert {one.kind for one in found} == {"chain", "archive"}


def test_an_archive_file_is_an_export(archive: Path) -> None:
    with archive.open("rb") as file:
        assert len(list(parquet.read(file))) == len(list(read_export(archive))) + 1  # and the last word
