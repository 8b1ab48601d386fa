"""Who fails often waits longer and longer, but never for ever, and nobody else waits with them."""

from orchestrator.access.failed_attempts import FORGET_SECONDS, LONGEST_PAUSE_SECONDS, FailedAttempts, source_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_pause_doubles_from_the_last_free_failure_on() -> None:
    clock = Clock()
    attempts = FailedAttempts(3, clock=clock)
    pauses = []
    for _ in range(12):
        attempts.failed("a")
        pauses.append(attempts.pause("a"))
        clock.now += attempts.pause("a")
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert max(pauses) == LONGEST_PAUSE_SECONDS


def test_a_pause_ends_and_is_of_one_source_only() -> None:
    clock = Clock()
    attempts = FailedAttempts(1, clock=clock)
    attempts.failed("a")
    assert attempts.pause("a") == 1
    assert attempts.pause("b") == 0
    clock.now += 1
    assert attempts.pause("a") == 0


def test_failures_are_forgotten_after_a_while() -> None:
    clock = Clock()
    attempts = FailedAttempts(2, clock=clock)
    attempts.failed("a")
    clock.now += FORGET_SECONDS + 1
    attempts.failed("a")
    assert attempts.pause("a") == 0
    attempts.failed("a")
    assert attempts.pause("a") == 1


def test_many_sources_take_bounded_memory() -> None:
    attempts = FailedAttempts(1, clock=Clock())
    for number in range(10_100):
        attempts.failed(f"10.0.{number >> 8}.{number & 255}")
    assert len(attempts._sources) == 10_000


def test_a_source_is_an_address_or_the_network_of_one_host() -> None:
    assert source_of("192.0.2.7") == "192.0.2.7"
    assert source_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert source_of("2001:db8:1:2:3:4:5:6") == source_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert source_of("2001:db8:1:3::1") != source_of("2001:db8:1:2::1")
    assert source_of(None) == "unknown"
    assert source_of("testclient") == "testclient"
