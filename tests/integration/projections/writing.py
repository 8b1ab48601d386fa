"""`python -m tests.integration.projections.writing CONNINFO EVENTS_A_SECOND`: runs go on at a steady pace.

An event of each of some runs at a time, until stdin is closed; then how many events there were and in how many seconds.
"""

import json
import sys
import threading
import time
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from uuid_utils import uuid7

from benchmarks.histories import stored_history
from orchestrator.eventstore.recorder import LogRecorder
from orchestrator.postgres.database import Database

RUNS_AT_ONCE = 100


def write(recorder: LogRecorder, events_a_second: float, stopping: threading.Event) -> tuple[int, float]:
    history, began, written = stored_history(), time.monotonic(), 0
    while True:
        runs = [UUID(str(uuid7())) for _ in range(RUNS_AT_ONCE)]
        for version, (name, state) in enumerate(history, 1):
            recorder.insert_events([StoredEvent(run, version, name, state) for run in runs])
            written += RUNS_AT_ONCE
            if stopping.wait(max(0.0, written / events_a_second - (time.monotonic() - began))):
                return written, time.monotonic() - began


def main() -> None:
    conninfo, events_a_second = sys.argv[1:]
    database, stopping = Database(conninfo), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopping.set()), daemon=True).start()
    try:
        print(json.dumps(write(LogRecorder(database), float(events_a_second), stopping)))
    finally:
        database.close()


if __name__ == "__main__":
    main()
