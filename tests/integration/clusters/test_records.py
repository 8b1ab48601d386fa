"""Records of attempts in a real store: a folder, and files that another process wrote."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from orchestrator.artifacts.blobs import Blobs
from orchestrator.artifacts.opened import open_blobs
from orchestrator.clusters.contract import Record, attempt_name, fence_hash, new_fence
from orchestrator.clusters.forms import MAX_RECORD_BYTES, InvalidForm
from orchestrator.clusters.records import Records, StoreUnsuitable
from orchestrator.domain.output import Artifact, Output, StepError

NAME, HASH = attempt_name("run", "step", 1), fence_hash("f" * 32)


def records(folder: Path) -> Records:
    return Records(open_blobs(str(folder)))


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    artifact = Artifact("id", "text/plain", "file:///x", "ab" * 32, 3, "a.txt", {"k": 1})
    for number, outcome in enumerate((Output({"n": 1}, (artifact,)), StepError("BAD", "no", {"a": 1}, False, 5))):
        name = attempt_name("run", "step", number + 1)
        written = records(tmp_path).write("acme", name, HASH, Record(outcome, 12.5))
        assert written == records(tmp_path).read("acme", name, HASH) == Record(outcome, 12.5)


def test_the_first_record_counts(tmp_path: Path) -> None:
    first, second = Record(Output(1), 1.0), Record(StepError("LATE", "second"), 2.0)
    assert records(tmp_path).write("acme", NAME, HASH, first) == first
    assert records(tmp_path).write("acme", NAME, HASH, second) == first
    assert records(tmp_path).read("acme", NAME, HASH) == first


def test_another_fence_tenant_or_name_has_no_record(tmp_path: Path) -> None:
    records(tmp_path).write("acme", NAME, HASH, Record(Output(1), 1.0))
    assert records(tmp_path).read("acme", NAME, fence_hash(new_fence())) is None
    assert records(tmp_path).read("other", NAME, HASH) is None
    assert records(tmp_path).read("acme", attempt_name("run", "step", 2), HASH) is None


def test_of_two_processes_one_begins(tmp_path: Path) -> None:
    program = (
        "import sys; from orchestrator.artifacts.opened import open_blobs; "
        "from orchestrator.clusters.records import Records; "
        "print(Records(open_blobs(sys.argv[1])).begin('acme', *sys.argv[2:4], 'here'))"
    )
    words = [sys.executable, "-c", program, str(tmp_path), NAME, HASH]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sorted(each.communicate()[0].strip() for each in running) == ["False", "False", "True"]


def test_unknown_fields_are_ignored_and_a_newer_version_is_refused(tmp_path: Path) -> None:
    records(tmp_path).write("acme", NAME, HASH, Record(Output(1), 1.0))
    (path,) = [each for each in tmp_path.rglob(HASH) if each.is_file()]
    document = orjson.loads(path.read_bytes())
    path.chmod(0o600)
    path.write_bytes(orjson.dumps({**document, "later": True}))
    assert records(tmp_path).read("acme", NAME, HASH) == Record(Output(1), 1.0)
    path.write_bytes(orjson.dumps({**document, "v": 2}))
    with pytest.raises(InvalidForm, match="`v` of the record is 2"):
        records(tmp_path).read("acme", NAME, HASH)


def test_a_record_that_is_too_large_is_an_error_of_the_step(tmp_path: Path) -> None:
    written = records(tmp_path).write("acme", NAME, HASH, Record(Output("x" * MAX_RECORD_BYTES), 1.0))
    assert isinstance(written.outcome, StepError)
    assert written.outcome.code == "SKILL_OUTPUT_INVALID"
    assert records(tmp_path).read("acme", NAME, HASH) == written


@pytest.mark.parametrize("name", ["../../etc", "x", NAME.upper(), ""])
def test_names_are_no_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidForm, match="32 hexadecimal digits"):
        records(tmp_path).read("acme", name, HASH)


def test_a_kill_outranks_a_stop(tmp_path: Path) -> None:
    store = records(tmp_path)
    assert store.asked("acme", NAME) is None
    store.ask("acme", NAME, kill=False)
    assert store.asked("acme", NAME) == "stop"
    store.ask("acme", NAME, kill=True)
    assert store.asked("acme", NAME) == "kill"


class Replacing(Blobs):
    """A store that replaces what it is told to create."""

    def create(self, path: str, content: bytes) -> bool:
        self.put([content], path, path.rpartition("/")[0])
        return True


def test_a_store_that_replaces_files_is_refused(tmp_path: Path) -> None:
    records(tmp_path).check()
    with pytest.raises(StoreUnsuitable, match="replaced a file"):
        Records(Replacing(str(tmp_path))).check()
    with pytest.raises(StoreUnsuitable, match="memory://"):
        Records(open_blobs("memory://x")).check()
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]
