"""What grows is found, and what goes up and down is not."""

from collections.abc import Callable

import pytest

from tests.soak.growth import Sample, grown


def samples(memory: Callable[[int], float], descriptors: Callable[[int], int], count: int = 100) -> list[Sample]:
    return [Sample(float(at), 1, memory(at), descriptors(at)) for at in range(count)]


def flat(_at: int) -> int:
    return 80


@pytest.mark.parametrize(
    ("memory", "descriptors"),
    [
        (flat, flat),
        (lambda at: 60 + min(at, 20), flat),  # warming up
        (lambda at: 80 + at % 15, lambda at: 20 + at % 9),
        (lambda at: 200 if at == 90 else 80, lambda at: 90 if at == 95 else 20),  # for a moment
    ],
)
def test_a_process_that_stays_flat(memory: Callable[[int], float], descriptors: Callable[[int], int]) -> None:
    assert grown("worker", samples(memory, descriptors)) == []


def test_memory_that_grows_all_the_time() -> None:
    assert grown("worker", samples(lambda at: 80 + at / 3, flat)) == ["worker grew from 91 to 111 MiB"]


def test_descriptors_that_are_left_open() -> None:
    (told,) = grown("api", samples(flat, lambda at: 20 + at // 4))
    assert told.startswith("api had ")


def test_too_few_samples_show_nothing() -> None:
    assert grown("worker", samples(lambda at: 80 * at, flat, count=30)) == []
