"""Who waits to be looked up: so many in all, so many of one source, and the same credentials count once."""

from contextlib import ExitStack

import pytest

from orchestrator.access.errors import TooManyUnknown
from orchestrator.access.pending_lookups import PendingLookups


def test_a_source_has_so_many_seats_and_others_have_theirs() -> None:
    lookups = PendingLookups(max_waiting=5, max_of_source=2)
    with ExitStack() as seats:
        for shown in ("a", "b"):
            seats.enter_context(lookups.waiting("10.0.0.1", shown))
        with pytest.raises(TooManyUnknown), lookups.waiting("10.0.0.1", "c"):
            pass
        seats.enter_context(lookups.waiting("10.0.0.1", "a"))  # it is looked up anyway
        for source in ("10.0.0.2", "10.0.0.3", "10.0.0.4"):
            seats.enter_context(lookups.waiting(source, "a"))
        with pytest.raises(TooManyUnknown), lookups.waiting("10.0.0.5", "a"):
            pass
    with lookups.waiting("10.0.0.1", "c"), lookups.waiting("10.0.0.5", "a"):
        pass
    assert not lookups._sources


def test_a_network_of_one_host_is_one_source() -> None:
    lookups = PendingLookups(max_of_source=1)
    with lookups.waiting("2001:db8::1", "a"), pytest.raises(TooManyUnknown), lookups.waiting("2001:db8::2", "b"):
        pass


def test_a_seat_is_free_again_whatever_happens() -> None:
    lookups = PendingLookups(max_waiting=1)
    with pytest.raises(LookupError), lookups.waiting("x", "a"):
        raise LookupError
    with lookups.waiting("y", "b"):
        pass
