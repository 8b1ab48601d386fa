"""Fixtures for all tests. What starts a server starts it once a session, and only when a test asks for it."""

import random
import signal
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import FrameType

import psutil
import pytest
from hypothesis import settings

from benchmarks.folders import open_folder
from orchestrator.eventstore.formats import FORMAT
from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.postgres.migrate import migrate
from orchestrator.skills.masking import MASKER
from tests.servers import Databases, ValkeyServer, copy_folder

MIGRATIONS = [files("orchestrator.postgres") / "migrations"]

settings.register_profile("orchestrator", print_blob=True, deadline=None, derandomize=False)
settings.register_profile("quick", settings.get_profile("orchestrator"), max_examples=15)
settings.load_profile("orchestrator")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Known before the first test, so that a session which hangs or is killed can be repeated too.
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))
    # Ended as by Ctrl-C, which reaches every process of a terminal, so that the fixtures of each stop their servers.
    runs_tests = not config.getoption("numprocesses", None)
    signal.signal(signal.SIGTERM, signal.default_int_handler if runs_tests else _end_all)


def _end_all(number: int, frame: FrameType | None) -> None:
    """Hand SIGTERM on to the processes that run the tests, and end."""
    for child in psutil.Process().children():
        child.terminate()
    signal.default_int_handler(number, frame)


def pytest_report_header(config: pytest.Config) -> str:
    return f"repeat with: --hypothesis-seed={config.option.hypothesis_seed}"


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> None:
    """A process masks every secret that it has ever read; those of other tests would be refused in results."""
    MASKER.forget_all()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty folder that the user of root's Postgres may enter (those of `tmp_path` are closed to it)."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One Postgres for the session. Do not stop it: tests that do take `own_postgres`."""
    with open_folder() as folder, EmbeddedPostgres(folder) as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres_server: EmbeddedPostgres) -> Databases:
    return Databases(postgres_server)


@pytest.fixture(scope="session")
def template_database(databases: Databases) -> str:
    """The name of a database with all migrations and no rows. Do not connect to it: it is copied."""
    name = databases.create()
    migrate(databases.url(name), MIGRATIONS, new_format=FORMAT)
    return name


@pytest.fixture
def database_url(databases: Databases, template_database: str) -> Iterator[str]:
    """The connection string of a migrated database of this test's own."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """The connection string of a database of this test's own, without any migration."""
    name = databases.create()
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture(scope="session")
def stopped_postgres() -> Iterator[Path]:
    """A data directory with a migrated database, in use by nobody. Do not start it: it is copied."""
    with open_folder() as folder:
        with EmbeddedPostgres(folder) as server:
            migrate(server.conninfo(), MIGRATIONS)
        yield folder


@pytest.fixture
def used_data_dir(stopped_postgres: Path) -> Iterator[Path]:
    """A data directory of this test's own that was in use before; saves the second that a new cluster takes."""
    with open_folder() as folder:
        copy_folder(stopped_postgres / "postgres", folder)
        yield folder


@pytest.fixture
def own_postgres(used_data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A Postgres of this test's own, running and migrated: kill and restart it at will."""
    with EmbeddedPostgres(used_data_dir) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    with open_folder() as folder, ValkeyServer(folder) as server:
        yield server


@pytest.fixture
def valkey(valkey_server: ValkeyServer) -> ValkeyServer:
    """A running, empty Valkey: `url`, `pid`, `kill`, `pause`, `resume`, `start`. The next test gets it whole again."""
    valkey_server.start()
    valkey_server.flush()
    return valkey_server
