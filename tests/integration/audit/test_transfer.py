"""A log that is carried out and in again is the same log, with the same read models and the same head."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import psycopg
import pytest

from orchestrator.application.core import Core
from orchestrator.audit.transfer.end import DamagedExport
from orchestrator.audit.transfer.export import EventSelection, Format, check_export, read_export, select, write_export
from orchestrator.audit.transfer.importer import ImportRefused
from orchestrator.bootstrap.auditing import build_auditor, build_importer
from orchestrator.bootstrap.showing import build_chain, build_projector
from orchestrator.domain.events import RunTriggered, WorkflowRegistered
from orchestrator.eventstore.codec import UnreadableEvent
from orchestrator.postgres.sql import load_sql
from tests.integration.audit.campaign import recorded
from tests.integration.audit.conftest import Recording
from tests.world.core import open_world

SQL = load_sql(__file__)
ALL = EventSelection()
KEY = base64.b64encode(bytes(range(32))).decode()


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Core]:
    with open_world(url, folder) as world:
        yield world.core


def dump(url: str) -> list[tuple[str, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute(SQL.dump).fetchall()


def tamper(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL[name])


def exported(url: str, folder: Path, form: Format = "jsonl", selection: EventSelection = ALL) -> Path:
    with opened(url, folder) as core:
        build_chain(core).head()
        path = folder / f"log.{form}"
        write_export(select(core.log, selection), path, form)
        return path


def bring_in(url: str, folder: Path, path: Path) -> int:
    """Import a file, project it, and return the position that the import began at."""
    with opened(url, folder) as core:
        done = build_importer(core).run(path)
        projector = build_projector(core)
        while projector.project_batch():
            pass
        assert build_chain(core).head() == done.head
        assert list(build_auditor(core).verify(heads=[done.head], with_artifacts=False)) == []
        return done.resumed_at


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_an_import_makes_the_same_database(fates_url: str, second_url: str, tmp_path: Path, form: Format) -> None:
    path = exported(fates_url, tmp_path, form)

    bring_in(second_url, tmp_path, path)

    ours = dump(fates_url)
    assert {model for model, _ in ours} == {
        *("runs", "run_steps", "artifacts", "step_cache", "workflows"),
        *("run_queue", "events", "chain", "projections"),
    }
    assert dump(second_url) == ours


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_encrypted_and_compressed_logs_too(
    database_url: str, second_url: str, tmp_path: Path, form: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_CIPHER_KEY", KEY)
    monkeypatch.setenv("ORCHESTRATOR_COMPRESS", "true")
    await recorded(database_url, tmp_path)
    path = exported(database_url, tmp_path, form)
    assert b"trigger" not in path.read_bytes(), "what is kept secret leaves no trace in the file"

    with monkeypatch.context() as without_key:
        without_key.delenv("ORCHESTRATOR_CIPHER_KEY")
        with opened(second_url, tmp_path) as core:
            with pytest.raises(UnreadableEvent, match="cipher key"):
                build_importer(core).run(path)
            assert core.log.last_position() == 0

    bring_in(second_url, tmp_path, path)
    assert dump(second_url) == dump(database_url)


def test_both_forms_hold_the_same(fates_url: str, tmp_path: Path) -> None:
    lines, parquet = (exported(fates_url, tmp_path, form) for form in ("jsonl", "parquet"))
    with opened(fates_url, tmp_path) as core:
        rows = core.log.recorder.log_rows(0, 10_000)
    assert list(read_export(lines)) == list(read_export(parquet)) == rows


def test_parquet_is_read_by_others(fates_url: str, tmp_path: Path) -> None:
    from pyarrow import parquet

    table = parquet.read_table(exported(fates_url, tmp_path, "parquet"))
    assert table.column_names == ["position", "stream_id", "version", "name", "state"]
    states = [orjson.loads(state) for state in table["state"].to_pylist()]
    assert table["position"].to_pylist() == list(range(1, len(states) + 1))
    assert {state["tenant"] for state in states} == {"default"}
    assert "RunTriggered" in table["name"].to_pylist()


def test_a_run_comes_with_its_workflow(fates_url: str, recording: Recording, tmp_path: Path) -> None:
    ids = recording.ids
    path = exported(fates_url, tmp_path, selection=EventSelection(run_id=ids[0]))
    with opened(fates_url, tmp_path) as core:
        events = [core.log.mapper.from_row(*row) for row in read_export(path)]
        assert [one for one in events if one.stream_id == ids[0]] == core.log.read(ids[0])
    registered, trigger = events[0].event, events[1].event
    assert isinstance(registered, WorkflowRegistered)
    assert isinstance(trigger, RunTriggered)
    assert (registered.name, registered.version) == (trigger.workflow_name, trigger.workflow_version)
    assert registered.version == "1"


def test_times_select_what_was_decided_between_them(fates_url: str, tmp_path: Path) -> None:
    with opened(fates_url, tmp_path) as core:
        times = [one.event.at for one in core.log.read_log(0, 10_000)]
        since, until = sorted(times)[10], sorted(times)[-10]
        found = [core.log.mapper.from_row(*row) for row in select(core.log, EventSelection(since=since, until=until))]
    assert [one.event.at for one in found] == [at for at in times if since <= at < until]


async def test_only_a_whole_log_goes_into_an_empty_database(
    fates_url: str, recording: Recording, second_url: str, tmp_path: Path
) -> None:
    ids = recording.ids
    part = exported(fates_url, tmp_path, "parquet", EventSelection(run_id=ids[1]))
    whole = exported(fates_url, tmp_path)
    with opened(second_url, tmp_path) as core:
        with pytest.raises(ImportRefused, match="only an export of the whole log"):
            build_importer(core).run(part)
        assert core.log.last_position() == 0
    await recorded(second_url, tmp_path)
    with opened(second_url, tmp_path) as core, pytest.raises(ImportRefused, match="holds other events"):
        build_importer(core).run(whole)


def test_an_interrupted_import_goes_on(fates_url: str, second_url: str, tmp_path: Path) -> None:
    path = exported(fates_url, tmp_path)
    with opened(second_url, tmp_path) as core:
        importer = build_importer(core)
        rows = read_export(path)
        for _ in range(37):
            importer._take(next(rows))
        importer._flush()
        assert core.log.last_position() == 37

    assert bring_in(second_url, tmp_path, path) == 37
    assert dump(second_url) == dump(fates_url)
    assert bring_in(second_url, tmp_path, path) == len(list(read_export(path)))


def test_a_file_that_was_changed_is_refused_before_anything_is_written(
    fates_url: str, second_url: str, tmp_path: Path
) -> None:
    path = exported(fates_url, tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = {
        "a byte": [*lines[:9], lines[9].replace(b'"at":1', b'"at":2'), *lines[10:]],
        "a line that is missing": [*lines[:9], *lines[10:]],
        "two that are swapped": [*lines[:9], lines[10], lines[9], *lines[11:]],
        "one that is there twice": [*lines[:9], lines[9], *lines[9:]],
        "the end": lines[:-1],
        "a tail": [*lines[:-5], lines[-1]],
        "rubbish": [*lines[:9], b"rubbish\n", *lines[10:]],
        "no object": [*lines[:9], b"[]\n", *lines[10:]],
        "nothing": [],
    }
    assert changed["a byte"] != lines
    with opened(second_url, tmp_path) as core:
        for what, wrong in changed.items():
            path.write_bytes(b"".join(wrong))
            with pytest.raises(DamagedExport):
                build_importer(core).run(path)
            assert core.log.last_position() == 0, what


def test_a_parquet_file_that_was_changed_is_refused(fates_url: str, tmp_path: Path) -> None:
    from pyarrow import parquet

    path = exported(fates_url, tmp_path, "parquet")
    table, whole = parquet.read_table(path), path.read_bytes()
    for wrong in (table.slice(1), table.slice(0, 20), table.replace_schema_metadata({}), table.select(["state"])):
        parquet.write_table(wrong, path)
        with pytest.raises(DamagedExport):
            check_export(path)
    for place in range(4, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            same = list(read_export(path))
        except DamagedExport:
            continue
        assert len(same) == table.num_rows, "a bit that changes nothing of what is read"


def test_a_file_is_there_only_when_it_is_whole(fates_url: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"

    def broken() -> Iterator[object]:
        with opened(fates_url, tmp_path) as core:
            yield from core.log.recorder.log_rows(0, 10)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_export(broken(), path, "jsonl")
    assert [file.name for file in tmp_path.iterdir() if "log" in file.name] == []


async def test_an_empty_log(database_url: str, second_url: str, tmp_path: Path) -> None:
    for form in ("jsonl", "parquet"):
        path = exported(database_url, tmp_path, form)
        assert check_export(path).events == 0
        bring_in(second_url, tmp_path, path)
    stream = io.BytesIO()
    write_export([], stream, "jsonl")
    assert stream.getvalue() == (tmp_path / "log.jsonl").read_bytes()
