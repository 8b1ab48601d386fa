"""Everything a soak runs on: two Postgres servers behind proxies, a Valkey, and the processes of the program."""

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from orchestrator.bootstrap.database import MIGRATIONS
from orchestrator.postgres.migrate import migrate
from tests.chaos.skills import JOURNAL
from tests.chaos.wire import Wire
from tests.proxy import SwallowingProxy
from tests.servers import ValkeyServer
from tests.soak.processes import Member
from tests.soak.workflows import TENANTS, documents
from tests.standby import Pair
from tests.world.programs import ROOT, call

LEASE_SECONDS = 6.0
STALL_SECONDS = 20.0
LOST_LIKELIHOOD = 0.03


@dataclass
class Way:
    """The way to one of the two servers: client -> proxy (can swallow, refuse) -> wire (can lose answers) -> server."""

    proxy: SwallowingProxy
    wire: Wire


@dataclass
class Plant:
    """What a soak has. `elders` are never killed, so that their memory can be watched; `mortals` are."""

    folder: Path
    pair: Pair
    ways: list[Way]
    valkey: ValkeyServer
    elders: list[Member]
    mortals: list[Member]
    keys: dict[str, str]
    env: dict[str, str]

    @property
    def members(self) -> list[Member]:
        return [*self.elders, *self.mortals]

    @property
    def apis(self) -> list[Member]:
        return [member for member in self.members if member.name.startswith("api")]

    def named(self, name: str) -> Member:
        return next(member for member in self.members if member.name == name)


@contextmanager
def open_plant(folder: Path, chance: random.Random) -> Iterator[Plant]:
    """Start it all: two APIs, three workers and two projectors; one of each is an elder, a second worker too."""
    logs = folder / "logs"
    logs.mkdir()
    with ExitStack() as stack:
        pair = stack.enter_context(Pair(folder / "pair"))
        ways = []
        for cluster in (pair.primary, pair.standby):
            sockets = folder / f"way-{cluster.folder.name}"
            sockets.mkdir()
            wire = stack.enter_context(Wire(cluster.url, sockets, chance, LOST_LIKELIHOOD))
            wire.calm = True
            ways.append(Way(stack.enter_context(SwallowingProxy(wire.url)), wire))
        valkey_folder = folder / "valkey"
        valkey_folder.mkdir()
        valkey = stack.enter_context(ValkeyServer(valkey_folder))
        env = {
            "ORCHESTRATOR_DATABASE_URL": ways[0].proxy.url(ways[1].proxy),
            "ORCHESTRATOR_DATA_DIR": str(folder / "data"),
            "ORCHESTRATOR_REDIS_URL": valkey.url,
            "ORCHESTRATOR_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
            "ORCHESTRATOR_HEARTBEAT_SECONDS": "0.5",
            "ORCHESTRATOR_NETWORK_TIMEOUT_MS": "4000",
            "ORCHESTRATOR_STALL_SECONDS": f"{STALL_SECONDS:g}",
            "ORCHESTRATOR_SHUTDOWN_GRACE_SECONDS": "2",
            "ORCHESTRATOR_CACHE_MEMORY_BYTES": str(4 << 20),
            "ORCHESTRATOR_CACHE_TTL_SECONDS": "120",
            "PYTHONPATH": str(ROOT),
            JOURNAL: str(folder / "journal"),
        }
        direct = {**env, "ORCHESTRATOR_DATABASE_URL": pair.url}
        migrate(pair.url, MIGRATIONS)
        keys = {tenant: _key(tenant, direct) for tenant in TENANTS}
        elder = {**env, "ORCHESTRATOR_SKILLS": "tests.soak.skills"}
        mortal = {**env, "ORCHESTRATOR_SKILLS": "tests.soak.skills,tests.soak.deadly_skills"}
        api = {**env, "ORCHESTRATOR_AUTH": "keys"}
        serve = ["api", "--port", "0", "--no-projector"]
        elders = [
            Member("api-1", serve, api, logs),
            Member("worker-1", ["worker"], elder, logs),
            Member("projector-1", ["projector"], env, logs),
        ]
        mortals = [
            Member("api-2", serve, api, logs),
            Member("worker-2", ["worker"], mortal, logs),
            Member("worker-3", ["worker"], mortal, logs),
            Member("projector-2", ["projector"], env, logs),
        ]
        plant = Plant(folder, pair, ways, valkey, elders, mortals, keys, env)
        for member in plant.members:
            stack.callback(member.end)
            member.start()
        for member in plant.members:
            member.await_ready()
        _register(plant)
        yield plant


def _key(tenant: str, env: dict[str, str]) -> str:
    made = call("keys", "create", "soak", "--role", "operator", "--tenant", tenant, "--json", env=env)
    assert made.code == 0, made.err
    return str(made.document["key"])


def _register(plant: Plant) -> None:
    for key in plant.keys.values():
        for document in documents():
            answer = httpx.post(
                f"{plant.apis[0].told}/api/v1/workflows",
                content=json.dumps(document),
                headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
                timeout=60,
            )
            assert answer.status_code in (200, 201), answer.text
