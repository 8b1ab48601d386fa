"""The database goes away in ways that are not a clean stop, under real processes: nothing is lost, nothing runs twice
at once, requests are told to come again, and every process goes on by itself."""

import json
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql

from orchestrator.bootstrap.database import MIGRATIONS
from orchestrator.postgres.migrate import migrate
from orchestrator.postgres.sql import load_sql
from tests.proxy import SwallowingProxy
from tests.servers import Databases
from tests.standby import Pair
from tests.waiting import eventually
from tests.world.programs import Program

SQL = load_sql(__file__)
pytestmark = pytest.mark.chaos

SKILLS = """
import asyncio, json, os, time
from orchestrator import skill

def note(what, ctx):
    line = json.dumps([what, ctx.run_id, ctx.step_id, os.getpid(), time.time()]) + "\\n"
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line.encode())
    os.close(journal)

@skill("outage.work")
async def work(given: dict, ctx) -> dict:
    note("begin", ctx)
    try:
        await asyncio.sleep(given["seconds"])
    finally:
        note("end", ctx)
    return {"done": ctx.step_id}
"""

WORKFLOW = {
    "workflowName": "outage.v1",
    "version": "1",
    "steps": [
        {
            "stepId": name,
            "skillId": "outage.work",
            "dependsOn": needs,
            "input": {"seconds": "trigger.seconds"},
            "cachePolicy": {"enabled": False},
        }
        for name, needs in (("a", []), ("b", ["a"]), ("c", ["a"]))
    ],
}


@dataclass
class Plant:
    """An API and two workers on one database."""

    api: Program
    workers: list[Program]
    address: str
    journal: Path
    accepted: list[str] = field(default_factory=list)

    def trigger(self, seconds: float) -> httpx.Response:
        body = {"workflowName": "outage.v1", "triggerPayload": {"seconds": seconds}}
        answer = httpx.post(f"{self.address}/api/v1/runs", json=body, timeout=30)
        if answer.status_code == 202:
            self.accepted.append(answer.json()["runId"])
        return answer

    def accepts_again(self) -> None:
        """Trigger until a run is accepted. Until then the answer is 503 and nothing else."""

        def look() -> bool:
            answer = self.trigger(0.1)
            assert answer.status_code in (202, 503), answer.text
            return answer.status_code == 202

        eventually(look, 90, "a run is accepted", shows=lambda: self.api.err)

    def begun(self, count: int) -> None:
        eventually(lambda: len(self.notes("begin")) >= count, shows=lambda: self.workers[0].err)

    def notes(self, what: str) -> list[list[object]]:
        if not self.journal.exists():
            return []
        lines = [json.loads(line) for line in self.journal.read_text().splitlines()]
        return [line for line in lines if line[0] == what]

    def all_over(self) -> None:
        """Every accepted run completes, as the read models tell."""

        def look() -> bool:
            answers = [httpx.get(f"{self.address}/api/v1/runs/{run_id}", timeout=30) for run_id in self.accepted]
            return all(answer.status_code == 200 and answer.json()["status"] == "completed" for answer in answers)

        eventually(look, 90, "all runs are over", shows=lambda: "\n".join(one.err for one in (self.api, *self.workers)))

    def check(self) -> None:
        """Nothing was executed by two workers at once, and no process gave up or complained all the time."""
        spans: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
        for line in self.journal.read_text().splitlines():
            what, run_id, step, _, at = json.loads(line)
            spans[run_id, step].append((at, what))
        for place, notes in spans.items():
            under_way = 0
            for _, what in sorted(notes):
                under_way += 1 if what == "begin" else -1
                assert under_way <= 1, f"{place} was executed twice at once: {notes}"
        for program in (self.api, *self.workers):
            assert program.process.poll() is None, program.err
            assert "Traceback" not in program.err, program.err
            assert "background duty failed" not in program.err, program.err


QUICK = {
    "ORCHESTRATOR_LEASE_SECONDS": "4",
    "ORCHESTRATOR_HEARTBEAT_SECONDS": "0.5",
    "ORCHESTRATOR_NETWORK_TIMEOUT_MS": "1500",
}


@contextmanager
def plant(url: str, folder: Path) -> Iterator[Plant]:
    skills, workflow, journal = folder / "skills.py", folder / "outage.json", folder / "journal"
    skills.write_text(SKILLS)
    workflow.write_text(json.dumps(WORKFLOW))
    env = {
        **QUICK,
        "ORCHESTRATOR_DATABASE_URL": url,
        "ORCHESTRATOR_DATA_DIR": str(folder / "data"),
        "JOURNAL": str(journal),
    }
    with ExitStack() as stack:
        api = stack.enter_context(Program("api", "--port", "0", "--workflows", workflow, env=env))
        address = api.ready()
        workers = [stack.enter_context(Program("worker", "--skills", skills, env=env)) for _ in range(2)]
        for worker in workers:
            worker.ready()
        yield Plant(api, workers, address, journal)


def outage(made: Plant, break_it: Callable[[], None], mend_it: Callable[[], None]) -> None:
    """Six runs are executing when the database goes away. Meanwhile nothing is accepted; afterwards all complete."""
    for _ in range(6):
        assert made.trigger(1.5).status_code == 202
    made.begun(6)
    break_it()
    refused = made.trigger(0.1)
    assert refused.status_code == 503, refused.text
    assert refused.headers["Retry-After"]
    mend_it()
    made.accepts_again()
    made.all_over()
    made.check()


def test_a_failover_to_a_standby(tmp_path: Path, data_dir: Path) -> None:
    with Pair(data_dir / "pair") as pair:
        migrate(pair.url, MIGRATIONS)
        with plant(pair.url, tmp_path) as made:

            def promote() -> None:
                # In between the standby answers, read-only: long enough for leases to lapse.
                for _ in range(3):
                    assert made.trigger(0.1).status_code == 503
                pair.fail_over()

            outage(made, pair.lose_primary, promote)


def test_a_database_that_turns_read_only(databases: Databases, template_database: str, tmp_path: Path) -> None:
    name = databases.create(template_database)

    def alter(statement: str) -> None:
        with psycopg.connect(databases.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(name=sql.Identifier(name)))
            connection.execute(SQL.terminate, {"name": name})

    with plant(databases.url(name), tmp_path) as made:
        outage(made, lambda: alter(SQL.turn_read_only), lambda: alter(SQL.turn_writable))
    databases.drop(name)


def test_connections_that_are_refused_while_those_that_stand_go_on(
    databases: Databases, template_database: str, tmp_path: Path
) -> None:
    """The writers lose theirs and cannot have another; the pools keep theirs."""
    name = databases.create(template_database)

    def run(statement: str, which: str = SQL.terminate_writers) -> None:
        with psycopg.connect(databases.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(name=sql.Identifier(name)))
            connection.execute(which, {"name": name})

    with plant(databases.url(name), tmp_path) as made:
        outage(made, lambda: run(SQL.refuse_connections), lambda: run(SQL.allow_connections))
    databases.drop(name)


def test_a_network_that_swallows_everything(databases: Databases, template_database: str, tmp_path: Path) -> None:
    """No connection is closed, nothing is answered; the second host of the connection string can be reached."""
    name = databases.create(template_database)
    url = databases.url(name)
    with SwallowingProxy(url) as first, SwallowingProxy(url) as second, plant(first.url(second), tmp_path) as made:
        for _ in range(6):
            assert made.trigger(1.5).status_code == 202
        made.begun(6)
        first.swallow()
        made.accepts_again()
        made.all_over()
        made.check()
        assert first.swallowed > 0
    databases.drop(name)


def test_a_network_that_comes_back(databases: Databases, template_database: str, tmp_path: Path) -> None:
    name = databases.create(template_database)
    with SwallowingProxy(databases.url(name)) as proxy, plant(proxy.url(), tmp_path) as made:
        outage(made, proxy.swallow, proxy.pass_on)
    databases.drop(name)


def test_processes_that_are_stopped_while_the_network_is_dead_end_by_themselves(
    databases: Databases, template_database: str, tmp_path: Path
) -> None:
    """None waits for as long as a statement may take, and none has to be ended by the last resort."""
    name = databases.create(template_database)
    with SwallowingProxy(databases.url(name)) as proxy, plant(proxy.url(), tmp_path) as made:
        assert made.trigger(0.1).status_code == 202
        made.all_over()
        proxy.swallow()
        path = f"{made.address}/api/v1/runs/{made.accepted[0]}"
        assert httpx.get(path, timeout=30).status_code == 503  # a thread still waits for the answer
        programs = (made.api, *made.workers)
        host, _, port = made.address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET /api/v1/runs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert httpx.get(f"{made.address}/api/v1/health/live").status_code == 200  # so that one is under way
            for program in programs:
                program.process.terminate()
            answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"Retry-After" in answer or b"retry-after" in answer
        assert [program.wait() for program in programs] == [0, 0, 0]
        for program in programs:
            assert "did not stop in time" not in program.err
            assert "Traceback" not in program.err
    databases.drop(name)
