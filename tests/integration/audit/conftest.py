"""A log worth auditing, made once a session; each test gets databases of its own with a copy of it."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.app import app
from orchestrator.cli.errors import complain
from tests.integration.audit.campaign import every_fate, recorded
from tests.servers import Databases


@dataclass(frozen=True, slots=True)
class Recording:
    """A database that has the log, the folder with the artifacts, and the ids of the runs in the order they began."""

    database: str
    folder: Path
    ids: list[str]


@pytest.fixture(scope="session")
def recording(databases: Databases, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Runs of every fate. Do not connect to the database: it is copied."""
    name, folder = databases.create(template_database), tmp_path_factory.mktemp("recording")
    ids = asyncio.run(recorded(databases.url(name), folder, every_fate))
    return Recording(name, folder, ids)


@pytest.fixture
def fates_url(databases: Databases, recording: Recording) -> Iterator[str]:
    """The connection string of a database of this test's own, with the recording."""
    name = databases.create(recording.database)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def second_url(databases: Databases, template_database: str) -> Iterator[str]:
    """The connection string of another migrated database, empty."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@dataclass(frozen=True, slots=True)
class Said:
    """What a verb said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line that says what was wrong."""
        assert self.code == 1, self.out
        assert self.out == ""
        assert self.err.startswith("error: ")
        assert "This is a bug" not in self.err
        return self.err


Verb = Callable[..., Said]


@pytest.fixture
def verb(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, recording: Recording
) -> Iterator[Callable[..., Said]]:
    """Call the command line in this process: `verb(database_url, "audit", "verify")`."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_ARTIFACT_URL", str(recording.folder / "artifacts"))

    def call(database_url: str, *words: str | Path) -> Said:
        monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", database_url)
        try:
            app([str(word) for word in words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        except Exception as error:  # noqa: BLE001 - as `main` does
            code = complain(error)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    yield call
    root.handlers[:] = handlers
    root.setLevel(level)
