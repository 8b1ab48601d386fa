"""Arrays arrive in Postgres as what they were built of."""

from collections.abc import Iterator
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.postgres.arrays import bigint, bigint_array, bytea_array, text_array, to_bigint, uuid_array
from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.postgres.session import Session, Statement
from orchestrator.postgres.sql import load_sql
from tests.integration.postgres.test_session import open_session

SQL = load_sql(__file__)

ECHO = Statement("echo", SQL.echo, ["uuid[]", "int8[]", "text[]", "bytea[]"])
NUMBER = Statement("number", SQL.number, ["int8"])


@pytest.fixture(scope="module")
def session(postgres_server: EmbeddedPostgres) -> Iterator[Session]:
    with open_session(postgres_server.conninfo()) as opened:
        yield opened


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.uuids()),
    numbers=st.lists(st.integers(-(2**63), 2**63 - 1)),
    texts=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    states=st.lists(st.binary()),
)
def test_what_is_sent_is_what_arrives(
    session: Session, ids: list[UUID], numbers: list[int], texts: list[str], states: list[bytes]
) -> None:
    answer = session.run(ECHO, (uuid_array(ids), bigint_array(numbers), text_array(texts), bytea_array(states)))
    arrived = orjson.loads(answer.get_value(0, 0) or b"")
    assert arrived == [[str(one) for one in ids], numbers, texts, [f"\\x{state.hex()}" for state in states]]


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_number_comes_back(number: int) -> None:
    assert to_bigint(bigint(number)) == number


def test_a_number_arrives(session: Session) -> None:
    assert to_bigint(session.run(NUMBER, [bigint(-5)]).get_value(0, 0)) == -4


def test_ids_may_be_texts() -> None:
    one = UUID(int=7)
    assert uuid_array([str(one)]) == uuid_array([one])
