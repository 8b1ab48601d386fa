"""Sharing and crashing: the server is there for as long as somebody uses it, whoever dies."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from orchestrator.postgres.embedded import EmbeddedPostgres
from orchestrator.postgres.embedded.account import Account
from orchestrator.postgres.embedded.postmaster import pid_file, socket_lock
from orchestrator.postgres.sql import load_sql
from tests.integration.postgres.conftest import User
from tests.waiting import eventually

SQL = load_sql(__file__)
StartUser = Callable[[Path], User]


def works(conninfo: str) -> bool:
    """Whether the database answers and takes a write."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        if connection.execute(SQL.is_there).fetchone() != (True,):
            connection.execute(SQL.make_table)
            connection.execute(SQL.insert)
        return connection.execute(SQL.select).fetchone() == (1,)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def stopped(data_dir: Path, pid: int) -> bool:
    return gone(pid) and not pid_file(data_dir / "postgres").exists()


def setting(conninfo: str, name: str) -> str:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(SQL.setting, [name]).fetchone()
    assert row is not None
    return str(row[0])


def test_data_is_still_there_after_a_stop(used_data_dir: Path) -> None:
    with EmbeddedPostgres(used_data_dir) as first:
        assert works(first.conninfo())
        pid = first.pid
        sockets = first.home.sockets
    assert stopped(used_data_dir, pid)
    assert not sockets.exists()
    with EmbeddedPostgres(used_data_dir) as second:
        assert second.started_by_us
        assert second.pid != pid
        assert works(second.conninfo())


def test_starting_and_stopping_twice_is_harmless(used_data_dir: Path) -> None:
    server = EmbeddedPostgres(used_data_dir)
    assert server.start() == server.start() == server.conninfo()
    pid = server.pid
    server.stop()
    server.stop()
    assert stopped(used_data_dir, pid)


def test_an_existing_cluster_starts_at_once(used_data_dir: Path) -> None:
    EmbeddedPostgres(used_data_dir).__enter__().stop()
    took = []
    for _ in range(5):
        started = time.perf_counter()
        with EmbeddedPostgres(used_data_dir):
            took.append(time.perf_counter() - started)
    assert min(took) < 5, took  # 50 ms alone; what matters is that it waits for nothing


def test_the_server_listens_on_its_private_socket_only_and_never_risks_a_commit(own_postgres: EmbeddedPostgres) -> None:
    conninfo = own_postgres.conninfo()
    assert setting(conninfo, "listen_addresses") == ""
    assert setting(conninfo, "fsync") == "on"
    assert setting(conninfo, "synchronous_commit") == "on"
    assert setting(conninfo, "max_wal_size") == "2GB"
    assert own_postgres.home.sockets.stat().st_mode & 0o777 == 0o700
    assert own_postgres.home.cluster.stat().st_mode & 0o777 == 0o700


def test_options_reach_the_server(used_data_dir: Path) -> None:
    with EmbeddedPostgres(used_data_dir, options={"commit_delay": "2000", "max_connections": "20"}) as server:
        assert setting(server.conninfo(), "commit_delay") == "2000"
        assert setting(server.conninfo(), "max_connections") == "20"


def test_the_terminal_cannot_interrupt_the_server(own_postgres: EmbeddedPostgres) -> None:
    assert os.getsid(own_postgres.pid) != os.getsid(0)
    assert os.getpgid(own_postgres.pid) != os.getpgid(0)


@pytest.mark.parametrize("name", ['it\'s $HOME "x" `y` é', "long-" + "x" * 200])
def test_a_data_directory_may_have_any_name(data_dir: Path, name: str) -> None:
    with EmbeddedPostgres(data_dir / name / "deeper") as server:
        assert works(server.conninfo())


def test_the_callers_environment_does_not_reach_the_server(
    used_data_dir: Path, start_user: StartUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"PGDATA": "/nowhere", "PGPORT": "1", "PGOPTIONS": "-c nonsense=1", "LC_ALL": "xx_YY", "TZ": "Asia/Tokyo"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    user = start_user(used_data_dir)
    assert user.started_by_us
    assert not given.items() & psutil.Process(user.pid).environ().items()
    user.leave()


def test_two_that_start_at_once_share_one_server(data_dir: Path, start_user: StartUser) -> None:
    users = [start_user(data_dir), start_user(data_dir)]
    first, second = sorted(users, key=lambda user: not user.started_by_us)
    assert (first.started_by_us, second.started_by_us) == (True, False)
    assert first.pid == second.pid
    assert first.conninfo == second.conninfo
    first.leave()
    assert works(second.conninfo)
    second.leave()
    assert stopped(data_dir, second.pid)


def test_many_users_in_one_process_are_counted_one_by_one(data_dir: Path) -> None:
    servers = [EmbeddedPostgres(data_dir) for _ in range(5)]
    threads = [threading.Thread(target=server.start) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(server.started_by_us for server in servers) == [False, False, False, False, True]
    pid = servers[0].pid
    for server in servers:
        assert works(server.conninfo())
        server.stop()
    assert stopped(data_dir, pid)


def test_a_killed_user_neither_stops_the_server_nor_keeps_it(used_data_dir: Path, start_user: StartUser) -> None:
    first = start_user(used_data_dir)
    assert first.started_by_us
    second = start_user(used_data_dir)
    assert second.pid == first.pid
    first.kill()
    assert works(second.conninfo)
    third = start_user(used_data_dir)
    assert third.pid == second.pid
    second.leave()
    assert works(third.conninfo)
    third.leave()
    assert stopped(used_data_dir, third.pid)


def test_a_server_without_any_user_left_is_joined(used_data_dir: Path, start_user: StartUser) -> None:
    users = [start_user(used_data_dir), start_user(used_data_dir)]
    pid = users[0].pid
    assert works(users[1].conninfo)
    for user in users:
        user.kill()
    with EmbeddedPostgres(used_data_dir) as server:
        assert not server.started_by_us
        assert server.pid == pid
        assert works(server.conninfo())
    assert stopped(used_data_dir, pid)


def test_a_forked_child_does_not_stop_its_parents_server(own_postgres: EmbeddedPostgres) -> None:
    child = os.fork()
    if child == 0:
        try:
            own_postgres.stop()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert works(own_postgres.conninfo())


def test_a_crash_of_postgres_keeps_what_was_committed(own_postgres: EmbeddedPostgres) -> None:
    conninfo = own_postgres.conninfo()
    assert works(conninfo)
    own_postgres.kill_immediate()
    with pytest.raises(psycopg.OperationalError):
        works(conninfo)
    assert own_postgres.restart() == conninfo
    assert works(conninfo)


@pytest.mark.parametrize("_again", range(3))
def test_kill_9_of_postgres_is_survived(own_postgres: EmbeddedPostgres, _again: int) -> None:
    conninfo = own_postgres.conninfo()
    assert works(conninfo)
    with psycopg.connect(conninfo):
        os.kill(own_postgres.pid, signal.SIGKILL)
        assert own_postgres.restart() == conninfo
    assert works(conninfo)


def test_a_running_server_is_restarted(own_postgres: EmbeddedPostgres) -> None:
    pid = own_postgres.pid
    own_postgres.restart()
    assert own_postgres.pid != pid
    assert works(own_postgres.conninfo())


def test_one_of_many_users_revives_a_server_that_crashed(own_postgres: EmbeddedPostgres) -> None:
    with EmbeddedPostgres(own_postgres.home.folder) as other, ThreadPoolExecutor(2) as threads:
        users = [own_postgres, other]
        assert not own_postgres.revive()
        pid = own_postgres.pid
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: gone(pid), what="the server has ended")
        revived = list(threads.map(EmbeddedPostgres.revive, users))
        assert sorted(revived) == [False, True]
        assert own_postgres.pid == other.pid
        assert works(own_postgres.conninfo())


def test_a_start_waits_for_a_server_that_still_recovers(used_data_dir: Path, start_user: StartUser) -> None:
    with EmbeddedPostgres(used_data_dir) as server:
        server.kill_immediate()
        users = [start_user(used_data_dir) for _ in range(3)]
        server.restart()
        for user in users:
            assert works(user.conninfo)
            user.leave()
        assert works(server.conninfo())


@pytest.mark.parametrize("left", ["dead", "recycled", "empty", "copied"])
def test_a_pid_file_left_by_a_crash_is_survived(used_data_dir: Path, left: str) -> None:
    with EmbeddedPostgres(used_data_dir) as server:
        file = pid_file(server.home.cluster)
        account, sockets = server.home.account, server.home.sockets
        text = file.read_text()
    lines = text.splitlines()
    # Someone else, of the server's own user, has the process id by now.
    other = subprocess.Popen(["/bin/sleep", "60"], **account.demotion())
    try:
        if left == "dead":
            other.kill()
            other.wait()
        if left != "copied":
            lines[0] = str(other.pid)
        else:
            lines[:2] = [str(os.getpid()), "/somewhere/else/postgres"]
        file.write_text("" if left == "empty" else "\n".join(lines) + "\n")
        sockets.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(file, socket_lock(sockets))
        for path in (file, sockets, socket_lock(sockets)):
            os.chown(path, account.uid, account.gid)
            path.chmod(0o700)
        with EmbeddedPostgres(used_data_dir) as server:
            assert server.started_by_us
            assert works(server.conninfo())
    finally:
        other.kill()
        other.wait()


def test_a_folder_deleted_below_its_server_starts_empty(data_dir: Path, start_user: StartUser) -> None:
    user = start_user(data_dir / "data")
    assert works(user.conninfo)
    user.kill()
    shutil.rmtree(data_dir / "data")
    with EmbeddedPostgres(data_dir / "data") as server:
        assert server.started_by_us
        assert server.pid != user.pid
        assert gone(user.pid)
        assert works(server.conninfo())


def test_a_half_made_cluster_is_not_used(data_dir: Path) -> None:
    (data_dir / "postgres.new-killed" / "base").mkdir(parents=True)
    with EmbeddedPostgres(data_dir) as server:
        assert works(server.conninfo())
    assert not list(data_dir.glob("postgres.new-*"))


def test_a_server_whose_socket_was_removed_is_named_and_left_alone(own_postgres: EmbeddedPostgres) -> None:
    pid = own_postgres.pid
    socket = own_postgres.home.sockets / ".s.PGSQL.5432"
    socket.rename(socket.with_name("aside"))
    try:
        with pytest.raises(Exception, match=rf"Postgres runs \(pid {pid}\) but its socket .* is gone.*kill -INT"):
            EmbeddedPostgres(own_postgres.home.folder).start()
    finally:
        socket.with_name("aside").rename(socket)
    assert works(own_postgres.conninfo())


def test_the_servers_user_is_never_root(own_postgres: EmbeddedPostgres) -> None:
    assert psutil.Process(own_postgres.pid).uids().effective == own_postgres.home.account.uid != 0
    assert Account.owner_of(own_postgres.home.cluster) == own_postgres.home.account
