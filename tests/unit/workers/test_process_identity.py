"""A process that ended is known to have ended; of all others nobody can be sure."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orchestrator.workers.process_identity import has_ended, own_identity

TELL = "from orchestrator.workers.process_identity import own_identity; print(own_identity(), flush=True); input()"


@contextmanager
def neighbour() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    command = [sys.executable, "-c", TELL]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def own() -> list[str]:
    identity = own_identity()
    assert identity is not None
    return identity.rsplit(" ", 2)


def test_this_process_lives() -> None:
    assert not has_ended(" ".join(own()))


def test_a_neighbour_lives_until_it_is_killed_and_need_not_be_collected_to_be_dead() -> None:
    with neighbour() as (process, identity):
        assert not has_ended(identity)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert has_ended(identity)
        process.wait()
        assert has_ended(identity)


def test_a_number_that_was_given_to_another_process_deceives_nobody() -> None:
    place, pid, began = own()
    assert has_ended(f"{place} {pid} {int(began) - 1}")


@pytest.mark.parametrize("word", [0, 1], ids=["another boot", "another container"])
def test_nobody_is_sure_of_processes_elsewhere(word: int) -> None:
    place, pid, began = own()
    words = place.split()
    words[word] = "elsewhere"
    assert not has_ended(f"{' '.join(words)} {pid} {int(began) - 1}")
