"""What tests wait with waits, gives back what it saw, and tells it when it waited in vain."""

import asyncio
from itertools import count

import pytest

from tests.waiting import eventually, until


def test_what_was_seen_is_returned() -> None:
    numbers = count()
    assert eventually(lambda: next(numbers)) == 1
    assert eventually(lambda: next(numbers), right=lambda number: number > 4) == 5


def test_in_vain_is_told_with_what_was_seen_last() -> None:
    with pytest.raises(AssertionError, match=r"waited 0 s in vain until it is 7; seen last: 8$"):
        eventually(lambda: 8, 0, "it is 7", right=lambda number: number == 7)
    with pytest.raises(AssertionError, match=r"until it is so; seen last: its log$"):
        eventually(lambda: False, 0, shows=lambda: "its log")


async def test_coroutines_wait_for_functions_and_for_coroutines() -> None:
    numbers = count()

    async def number() -> int:
        return next(numbers)

    assert await until(lambda: next(numbers)) == 1
    assert await until(number, right=lambda number: number > 4) == 5


async def test_a_coroutine_that_waits_in_vain_tells_what_was_seen_last() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.02 s in vain until it is 7; seen last: 8$"):
        await until(lambda: 8, 0.02, "it is 7", right=lambda number: number == 7)


async def test_a_condition_that_hangs_is_given_up() -> None:
    with pytest.raises(AssertionError, match="it gave no answer"):
        await until(asyncio.Event().wait, 0.02)


async def test_a_time_out_of_the_condition_is_its_own() -> None:
    async def late() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await until(late)
