"""The calls of this process and those of the client of a server are the same, so that a verb can take either."""

import inspect

import pytest

from orchestrator.application.cache_calls import CacheCalls
from orchestrator.application.calls import Calls
from orchestrator.client import AsyncClient

ONLY_HERE = {"cache", "artifact", "trigger_all", "step_logs"}
SHARED = sorted(name for name in vars(Calls) if not name.startswith("_") and name not in ONLY_HERE)


def parameters(function: object) -> list[tuple[str, inspect._ParameterKind, object]]:
    assert callable(function)
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in found]


@pytest.mark.parametrize("name", SHARED)
def test_a_call_takes_what_the_client_takes(name: str) -> None:
    here, there = parameters(getattr(Calls, name)), parameters(getattr(AsyncClient, name))
    assert here == there[: len(here)], "a server may be asked for more, and not for less"
    assert all(default is not inspect.Parameter.empty for _, _, default in there[len(here) :])


@pytest.mark.parametrize("name", SHARED)
def test_a_call_gives_one_answer_or_a_stream_in_both(name: str) -> None:
    kinds = [inspect.isasyncgenfunction(getattr(owner, name)) for owner in (Calls, AsyncClient)]
    assert kinds[0] == kinds[1]


def test_most_calls_are_shared() -> None:
    assert len(SHARED) >= 15
    assert not set(SHARED) & set(vars(CacheCalls))
