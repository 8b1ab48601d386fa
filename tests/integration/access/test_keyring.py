"""Keys are kept as hashes, found once, and forgotten as soon as they change."""

import asyncio
import time
from collections.abc import Iterator

import psycopg
import pytest

from orchestrator.access.errors import CredentialsRefused
from orchestrator.access.identity import Role
from orchestrator.access.keyring import Keyring
from orchestrator.access.keys import Key, KeyStore, fits, key_id
from orchestrator.postgres.database import Database
from orchestrator.postgres.listener import Listener
from orchestrator.postgres.shared_calls import SharedCalls
from tests.waiting import until


class Counting(KeyStore):
    """Counts how often the database is asked."""

    found = 0

    def find(self, identity: str) -> Key | None:
        self.found += 1
        return super().find(identity)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, pool_size=2)
    yield database
    database.close()


@pytest.fixture
def listener(database_url: str) -> Iterator[Listener]:
    listener = Listener(database_url)
    listener.start()
    yield listener
    listener.stop()


@pytest.fixture
def store(database: Database) -> Counting:
    return Counting(database)


@pytest.fixture
def keyring(store: Counting, database: Database, listener: Listener) -> Keyring:
    return Keyring(store, SharedCalls(database), listener)


def now() -> int:
    return time.time_ns() // 1_000_000


def create(store: KeyStore, *, expires_at: int | None = None) -> tuple[Key, str]:
    return store.create(
        tenant="acme", name="bot", role=Role.OPERATOR, created_by="me", now=now(), expires_at=expires_at
    )


async def refusal(keyring: Keyring, shown: str) -> str:
    with pytest.raises(CredentialsRefused) as caught:
        await keyring.identify(shown)
    assert shown not in caught.value.message
    return caught.value.message


async def is_let_in(keyring: Keyring, shown: str) -> bool:
    try:
        await keyring.identify(shown)
    except CredentialsRefused:
        return False
    return True


async def test_a_key_says_who_holds_it_and_is_looked_up_once(store: Counting, keyring: Keyring) -> None:
    key, shown = create(store)
    for _ in range(3):
        identity = await keyring.identify(shown)
    assert (identity.tenant, identity.actor, identity.role) == ("acme", f"bot (key {key.id})", Role.OPERATOR)
    assert identity.credential == f"key:{key.id}"
    assert store.found == 1


async def test_a_hundred_requests_with_a_new_key_ask_together(store: Counting, keyring: Keyring) -> None:
    _, shown = create(store)
    await asyncio.gather(*(keyring.identify(shown) for _ in range(100)))
    assert store.found <= 2


async def test_only_the_hash_is_in_the_database(store: Counting, database_url: str) -> None:
    key, shown = create(store)
    secret = shown.rsplit("_", 1)[1]
    with psycopg.connect(database_url) as connection:
        (row,) = connection.execute("SELECT to_jsonb(k)::text FROM orchestrator.keys AS k").fetchone() or ("",)
    assert secret not in row
    assert secret not in repr(key)
    assert key.prefix == f"ork_{key.id}_..."
    assert shown.startswith(f"ork_{key.id}_")
    assert fits(shown, store.find(key.id))


async def test_what_is_no_key_is_refused(store: Counting, keyring: Keyring) -> None:
    _, shown = create(store)
    last = "0" if shown[-1] != "0" else "1"
    for wrong in (shown[:-1] + last, shown[:-1], shown + "0", shown.upper(), "ork_", "ork_aaaaaaaa_" + "0" * 64, "x"):
        assert await refusal(keyring, wrong) == "the API key is not valid"
    assert key_id(shown.replace("ork_", "ork-")) is None


async def test_a_revoked_key_is_refused_at_once_and_stays_revoked(store: Counting, keyring: Keyring) -> None:
    key, shown = create(store)
    await keyring.identify(shown)
    revoked = store.revoke(key.id, now())
    assert revoked is not None
    # much longer than a notification takes, shorter than a key is kept
    await until(lambda: is_let_in(keyring, shown), 5, "the key is refused", right=lambda is_let_in: not is_let_in)
    assert await refusal(keyring, shown) == "the API key was revoked"
    again = store.revoke(key.id, now() + 5)
    assert again is not None
    assert again.revoked_at == revoked.revoked_at
    assert store.revoke("zzzzzzzz", now()) is None


async def test_a_change_while_a_key_is_looked_up_is_not_missed(
    store: Counting, keyring: Keyring, listener: Listener
) -> None:
    _, shown = create(store)
    revoked = asyncio.Event()
    find, loop = store.find, asyncio.get_running_loop()

    def slow(identity: str) -> Key | None:
        found = find(identity)
        store.revoke(identity, now())
        keyring._forget(identity)  # as the listener does, before the answer is back
        loop.call_soon_threadsafe(revoked.set)
        return found

    store.find = slow  # type: ignore[method-assign]
    await keyring.identify(shown)
    await revoked.wait()
    store.find = find  # type: ignore[method-assign]
    assert await refusal(keyring, shown) == "the API key was revoked"


async def test_a_key_ends_when_its_time_is_over_though_it_is_remembered(store: Counting, keyring: Keyring) -> None:
    _, shown = create(store, expires_at=now() + 700)
    await keyring.identify(shown)
    await asyncio.sleep(0.8)  # the time itself is the subject: the key expires
    assert await refusal(keyring, shown) == "the API key has expired"
    assert store.found == 1


async def test_without_a_connection_that_tells_of_changes_the_database_is_asked_each_time(
    store: Counting, keyring: Keyring, listener: Listener
) -> None:
    _, shown = create(store)
    listener.stop()
    await keyring.identify(shown)
    await keyring.identify(shown)
    assert store.found == 2


async def test_a_key_is_looked_up_again_after_a_while(store: Counting, database: Database, listener: Listener) -> None:
    clock = [0.0]
    keyring = Keyring(store, SharedCalls(database), listener, clock=lambda: clock[0], kept_seconds=10)
    _, shown = create(store)
    for at, asked in ((0.0, 1), (9.0, 1), (11.0, 2)):
        clock[0] = at
        await keyring.identify(shown)
        assert store.found == asked


def test_keys_of_one_tenant_or_of_all(store: Counting) -> None:
    mine, _ = create(store)
    other, _ = store.create(tenant="other", name="x", role=Role.ADMIN, created_by="me", now=now())
    assert [key.id for key in store.list("acme")] == [mine.id]
    assert {key.id for key in store.list()} == {mine.id, other.id}
