"""Work that takes long is done in threads of its own, few at a time for each tenant."""

import asyncio
import threading

import pytest

from orchestrator.api.tenant_threads import TenantThreads


async def test_a_tenant_has_few_threads_and_others_have_theirs() -> None:
    threads = TenantThreads("test", max_of_tenant=1)
    first, second = threading.Event(), threading.Event()
    waiting = asyncio.create_task(threads.run("a", first.wait, 10))
    behind = asyncio.create_task(threads.run("a", second.wait, 10))
    assert await threads.run("b", str, 1) == "1"
    assert not behind.done()
    first.set()
    second.set()
    assert await asyncio.gather(waiting, behind) == [True, True]
    threads.close()


async def test_a_place_is_held_until_the_thread_ends_though_nobody_waits_for_it() -> None:
    threads = TenantThreads("test", max_of_tenant=1)
    started, go_on = threading.Event(), threading.Event()

    def read() -> None:
        started.set()
        go_on.wait(10)

    given_up = asyncio.create_task(threads.run("a", read))
    await asyncio.to_thread(started.wait, 10)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    behind = asyncio.create_task(threads.run("a", str, 1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(behind), 0.1)
    go_on.set()
    assert await behind == "1"
    threads.close()


async def test_who_gives_up_while_waiting_leaves_the_place_to_others() -> None:
    threads = TenantThreads("test", max_of_tenant=1)
    go_on = threading.Event()
    first = asyncio.create_task(threads.run("a", go_on.wait, 10))
    second = asyncio.create_task(threads.run("a", str, 2))
    third = asyncio.create_task(threads.run("a", str, 3))
    await asyncio.sleep(0)
    second.cancel()
    go_on.set()
    assert await asyncio.gather(first, third) == [True, "3"]
    threads.close()


async def test_what_is_raised_arrives_and_frees_the_place() -> None:
    threads = TenantThreads("test")
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            await threads.run("a", int, "x")
    threads.close()


async def test_tenants_that_are_more_than_threads_wait_for_one() -> None:
    threads = TenantThreads("test", max_threads=2)
    answers = await asyncio.gather(*(threads.run(f"t{number}", str, number) for number in range(20)))
    assert answers == [str(number) for number in range(20)]
    threads.close()
