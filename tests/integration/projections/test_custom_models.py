"""Read models of other packages are kept like ours, and what is wrong with one stops nothing else."""

import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator.bootstrap.auditing import build_auditor
from orchestrator.bootstrap.core import Core
from orchestrator.bootstrap.retaining import build_archivist
from orchestrator.bootstrap.showing import build_chain, open_projector
from orchestrator.bootstrap.working import open_worker
from orchestrator.postgres.sql import load_sql
from orchestrator.projections.custom.loading import load_custom_models
from orchestrator.projections.custom.tables import find_tables
from orchestrator.projections.read_models.built_in import NAMES
from orchestrator.projections.rebuild.errors import ProjectionNotLoaded
from tests.integration.projections.packages import install, model
from tests.waiting import until
from tests.world.core import World, open_world
from tests.world.work import Journal
from tests.world.workflows import step, workflow

SQL = load_sql(__file__)
WORK = workflow("work", step("a"), step("b", "a"))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which packages are imported for the time of a test."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    forget()


def forget() -> None:
    """Forget the modules of packages, as a new process does."""
    for name in [name for name in sys.modules if name.endswith("_package")]:
        del sys.modules[name]


@contextmanager
def opened(url: str, tmp_path: Path, *, migrates: bool = True) -> Iterator[World]:
    """A program as it starts now, with what is installed, after the database was brought up to date for that."""
    forget()
    with open_world(url, tmp_path, migrates=migrates, shutdown_grace_seconds=0.0) as world:
        yield world


async def make_runs(world: World, *payloads: dict[str, Any]) -> list[str]:
    await world.register(WORK)
    async with open_worker(world.core, Journal().registry()):
        return [(await world.run("work", **payload)).id for payload in payloads]


def standing(core: Core, name: str) -> Any:
    return next(one for one in core.read_models.standings() if one.name == name)


def caught_up(core: Core, *names: str) -> Callable[[], bool]:
    return lambda: all(standing(core, name).lag_events == 0 for name in names)


def query(core: Core, statement: str) -> list[Any]:
    with psycopg.connect(core.database.conninfo, autocommit=True) as connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


async def test_it_is_filled_compared_rebuilt_and_audited(database_url: str, tmp_path: Path, packages: Path) -> None:
    install(packages, "mine", model("mine", schema=SQL.schema))
    with opened(database_url, tmp_path) as world:
        core = world.core
        with open_projector(core):
            run_ids = await make_runs(world, {"n": 1}, {"n": 2})
            await until(caught_up(core, "mine"))
        assert query(core, SQL.rows) == [
            ("default", run, "completed", n + 1, ["work", None]) for n, run in enumerate(run_ids)
        ]
        assert core.read_models.verify("mine").differing == 0

        query(core, SQL.spoil)
        report = core.read_models.rebuild("mine")
        assert [(found.key, found.kind, dict(found.columns)) for found in report.differences] == [
            (run_ids[0], "changed", {"n": (-1, 1)}),
            (run_ids[1], "missing", {}),
        ]
        assert core.read_models.verify("mine").differing == 0
        assert query(core, SQL.view) == [(3,)], "the view was made again upon the new table"
        assert [name for (name,) in query(core, SQL.indexes)] == ["mine_by_status", "mine_pkey"]
        query(core, SQL.spoil)
        build_chain(core).extend()
        found = [finding.place for finding in build_auditor(core).verify() if finding.kind == "read model"]
        assert len(found) == 2


async def test_a_fault_stops_it_alone_and_it_is_sent_on(database_url: str, tmp_path: Path, packages: Path) -> None:
    install(packages, "mine", model("mine"))
    install(packages, "other", model("other", poison="nothing"))
    with opened(database_url, tmp_path) as world:
        core = world.core
        with open_projector(core):
            run_ids = await make_runs(world, {"n": 1}, {"n": 2, "poison": True}, {"n": 3})
            await until(lambda: standing(core, "mine").state == "stopped")
            await until(caught_up(core, *NAMES, "other"))
            stopped = standing(core, "mine")
            assert "ArithmeticError('no good')" in stopped.error
            assert core.log.read_log(stopped.stopped_at - 1, 1)[0].stream_id == run_ids[1]
            assert core.reader.position() == core.log.last_position(), "nobody waits for it"

            def sent_on() -> int:
                if standing(core, "mine").state == "stopped":
                    core.read_models.skip("mine", "ann")
                return int(standing(core, "mine").lag_events)

            await until(sent_on, what="it has caught up", right=lambda lag: lag == 0)
            core.read_models.rebuild("mine")
        assert [n for _, _, _, n, _ in query(core, SQL.rows)] == [1, 3]


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        ("raise ImportError('no such library')", None, "no such library"),
        ("import sys; sys.exit(3)", None, "SystemExit(3)"),
        ("Model = 3", None, "3 is not a subclass of CustomReadModel"),
        (model("mine"), "mine_package:Missing", "has no attribute 'Missing'"),
        (model("another"), None, "Model.name is 'another', but its entry point is named 'mine'"),
        (model("mine", version=0), None, "Model.version is 0, not a positive integer"),
        (model("mine", column="run_id"), None, "names 'run_id', which every table has"),
        (model("mine").replace("jsonb", "jsonb; DROP"), None, "which is not a plain type"),
        (model("mine").replace("def rows", "def other"), None, "does not define rows"),
        (model("mine") + "    key = ('x',)\n", None, "key is ('x',)"),
        (model("mine") + "    def __init__(self): self.f = lambda: 1\n", None, "cannot be pickled"),
        (model("mine", schema="CREATE nonsense"), None, "its table cannot be created: syntax error"),
        (model("mine").replace('"integer"', '"intejer"'), None, 'type "intejer" does not exist'),
    ],
)  # fmt: skip
async def test_one_that_breaks_the_contract_is_stopped_with_the_reason(
    text: str, value: str | None, words: str, database_url: str, tmp_path: Path, packages: Path
) -> None:
    install(packages, "mine", text, value)
    install(packages, "other", model("other"))
    with opened(database_url, tmp_path) as world:
        core = world.core
        found = standing(core, "mine")
        assert (found.state, found.stopped_at) == ("stopped", None)
        assert words in found.error
        for refused in (
            core.read_models.verify,
            core.read_models.retry,
            lambda name: core.read_models.skip(name, "ann"),
        ):
            with pytest.raises(ProjectionNotLoaded, match="mine "):
                refused("mine")
        assert core.read_models.names == (*NAMES, "other")


async def test_a_name_that_is_taken_is_refused(database_url: str, tmp_path: Path, packages: Path) -> None:
    for name in ("runs", "run_queue", "events"):
        install(packages, name, model(name))
    with opened(database_url, tmp_path) as world:
        assert world.core.read_models.names == NAMES
        found = {one.name: one for one in world.core.read_models.standings() if one.error is not None}
        assert set(found) == {"runs", "run_queue", "events"}
        assert "choose another name" in found["events"].error


async def test_rows_that_do_not_fit_their_table_stop_it(database_url: str, tmp_path: Path, packages: Path) -> None:
    install(packages, "less", model("less").replace('"n": run.trigger.payload.get("n"), ', ""))
    install(packages, "twice", model("twice") + "        yield {'status': '', 'n': 1, 'said': 1}\n")
    with opened(database_url, tmp_path) as world, open_projector(world.core):
        await make_runs(world, {"n": 1})
        await until(lambda: standing(world.core, "less").state == standing(world.core, "twice").state == "stopped")
        assert "a row of less and its columns differ in n" in standing(world.core, "less").error
        assert "two rows of twice have the key []" in standing(world.core, "twice").error
        await until(caught_up(world.core, *NAMES))


async def test_one_that_hangs_holds_up_neither_ours_nor_the_end_of_the_process(
    database_url: str, tmp_path: Path, packages: Path
) -> None:
    install(packages, "mine", model("mine", fault="time.sleep(30)"))
    with opened(database_url, tmp_path) as world:
        with open_projector(world.core):
            await make_runs(world, {"n": 1, "poison": True})
            await until(caught_up(world.core, *NAMES))
        began = time.monotonic()
    assert time.monotonic() - began < 20
    assert [thread for thread in threading.enumerate() if thread.name == "projector of mine"]


async def test_a_new_version_adds_its_column_and_is_renewed(database_url: str, tmp_path: Path, packages: Path) -> None:
    install(packages, "mine", model("mine"))
    with opened(database_url, tmp_path) as world, open_projector(world.core):
        await make_runs(world, {"n": 1})
        await until(caught_up(world.core, "mine"))
    install(packages, "mine", model("mine", version=2, column="extra"))
    with opened(database_url, tmp_path) as world, open_projector(world.core):
        await until(lambda: standing(world.core, "mine").version == 2)
        assert query(world.core, SQL.extra) == [("x",)]
    install(packages, "mine", model("mine"))
    with opened(database_url, tmp_path) as world:  # an older program leaves the newer table alone
        assert standing(world.core, "mine").state == "live"
        assert query(world.core, SQL.comment)[0][0].startswith("read model 2 ")


async def test_a_program_that_may_not_migrate_does_without_it(
    database_url: str, tmp_path: Path, packages: Path
) -> None:
    install(packages, "mine", model("mine"))
    with opened(database_url, tmp_path, migrates=False) as world:
        found = standing(world.core, "mine")
        assert (found.state, "orchestrator migrate" in str(found.error)) == ("stopped", True)
    with opened(database_url, tmp_path):
        pass
    with opened(database_url, tmp_path, migrates=False) as world:
        assert standing(world.core, "mine").state == "live"


async def test_its_rows_leave_with_archived_runs(database_url: str, tmp_path: Path, packages: Path) -> None:
    install(packages, "mine", model("mine"))
    with opened(database_url, tmp_path) as world:
        core = world.core
        with open_projector(core):
            await make_runs(world, {"n": 1}, {"n": 2})
            await until(caught_up(core, *NAMES, "mine"))
        build_chain(core).extend()
    (packages / "mine_package-1.dist-info" / "entry_points.txt").unlink()
    with opened(database_url, tmp_path) as world:
        assert build_archivist(world.core, "ann").apply(2**53).runs > 0
        assert query(world.core, SQL.stray) == [(0,)]


def test_without_entry_points_the_database_is_not_asked() -> None:
    custom = load_custom_models([])
    assert find_tables("host=127.0.0.1 port=1", custom, makes=False) is custom


def test_two_packages_with_one_name_are_refused(packages: Path) -> None:
    install(packages, "mine", model("mine"))
    entries = [EntryPoint("mine", value, "orchestrator.projections") for value in ("mine_package:Model", "other:Model")]
    assert "several entry points have this name" in load_custom_models(entries).faults["mine"]
    (table,) = load_custom_models(entries[:1]).tables
    assert pickle.loads(pickle.dumps(table)).upsert == table.upsert
