"""The step logs of archived runs: read from the artifact store, as JSON lines for a file beside the archive."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from orchestrator.artifacts.errors import ArtifactGone, ArtifactRejected
from orchestrator.artifacts.store import ArtifactStore
from orchestrator.domain.output import Artifact
from orchestrator.postgres.database import Database
from orchestrator.postgres.sql import load_sql

_SQL = load_sql(__file__)
_CHUNKS = 500
_BEFORE_ALL = "00000000-0000-0000-0000-000000000000"


class RunLogs:
    """Reads the step logs of runs. Synchronous."""

    def __init__(self, database: Database, store: ArtifactStore) -> None:
        self._database = database
        self._store = store

    def lines(self, run_ids: Sequence[str]) -> Iterator[bytes]:
        """Yield `{runId, stepId, attempt, at, stream, text}` as JSON lines, a chunk at a time, run by run.

        For a chunk whose content is missing or altered, yield one line of the stream `log` that says so.

        Raises:
            OSError: the store cannot be read.
        """
        run_id, number = _BEFORE_ALL, 0
        while chunks := self._chunks(run_ids, run_id, number):
            for chunk in chunks:
                yield self._text(chunk)
            run_id, number = chunks[-1]["run_id"], chunks[-1]["number"]

    def _chunks(self, run_ids: Sequence[str], run_id: str, number: int) -> list[dict[str, Any]]:
        given = {"run_ids": list(run_ids), "run_id": run_id, "number": number, "limit": _CHUNKS}
        with self._database.connection() as connection:
            return connection.execute(_SQL.chunks, given).fetchall()

    def _text(self, chunk: Mapping[str, Any]) -> bytes:
        name, digest = f"{chunk['run_id']}/logs/{chunk['number']}", chunk["content_hash"]
        artifact = Artifact(name, "application/gzip", chunk["uri"], digest, chunk["size_bytes"])
        where = orjson.dumps({"runId": chunk["run_id"], "stepId": chunk["step_id"], "attempt": chunk["attempt"]})[:-1]
        try:
            lines = gzip.decompress(self._store.read(artifact, chunk["tenant"])).splitlines()
        except (ArtifactGone, ArtifactRejected) as error:
            text = f"[{chunk['lines']:,} lines are missing: {error}]"
            lines = [orjson.dumps({"at": None, "stream": "log", "text": text})]
        return b"".join(b"%b,%b\n" % (where, line[1:]) for line in lines)
