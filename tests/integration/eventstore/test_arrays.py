"""Typed arrays arrive in Postgres as what they were built of."""

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.eventstore.arrays import bigint_array, bytea_array, register_arrays, text_array, uuid_array
from orchestrator.eventstore.embedded import EmbeddedPostgres
from orchestrator.eventstore.sql import load_sql

SQL = load_sql(__file__)


@pytest.fixture(scope="module")
def connection(postgres_server: EmbeddedPostgres) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    with psycopg.connect(postgres_server.conninfo()) as opened:
        register_arrays(opened)
        yield opened


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.uuids()),
    numbers=st.lists(st.integers(-(2**63), 2**63 - 1)),
    texts=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    states=st.lists(st.binary()),
)
def test_what_is_sent_is_what_arrives(
    connection: "psycopg.Connection[tuple[object, ...]]",
    ids: list[UUID],
    numbers: list[int],
    texts: list[str],
    states: list[bytes],
) -> None:
    sent = (uuid_array(ids), bigint_array(numbers), text_array(texts), bytea_array(states))
    assert connection.execute(SQL.echo, sent).fetchone() == (ids, numbers, texts, states)


def test_ids_may_be_texts(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    one = UUID(int=7)
    assert uuid_array([str(one)]) == uuid_array([one])
