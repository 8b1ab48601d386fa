"""Threads for blocking skills: always one for the next call, and none is lost."""

import asyncio
import threading
import time

from orchestrator.skills import DaemonThreads
from tests.waiting import eventually


async def test_endless_skill_leaves_room_for_others() -> None:
    threads, release = DaemonThreads(), threading.Event()
    stuck = [threads.submit(release.wait, 30) for _ in range(50)]
    assert await asyncio.wait_for(asyncio.wrap_future(threads.submit(lambda: 7)), 5) == 7
    release.set()
    assert all(future.result(10) for future in stuck)


def test_threads_are_used_again_and_end_when_idle() -> None:
    threads = DaemonThreads("reused", idle_seconds=0.1)
    names = set()
    for _ in range(20):
        names.add(threads.submit(threading.get_ident).result(10))
        time.sleep(0.002)  # the time itself is the subject: the thread is idle again, not yet over
    assert len(names) <= 5
    eventually(lambda: all(thread.name != "reused" for thread in threading.enumerate()), 10, "all have ended")


def test_no_call_is_lost_while_threads_come_and_go() -> None:
    threads = DaemonThreads(idle_seconds=0.0005)
    results = []
    for number in range(400):
        results.append(threads.submit(lambda number=number: number))
        time.sleep(0.0005 * (number % 3))  # the time itself is the subject: about as long as a thread is kept
    assert [future.result(10) for future in results] == list(range(400))


def test_failures_are_carried() -> None:
    assert isinstance(DaemonThreads().submit(lambda: 1 / 0).exception(10), ZeroDivisionError)
