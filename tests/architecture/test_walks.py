"""The functions that docs/walks.md names exist."""

import importlib
import re
from functools import reduce

import pytest

from tests.architecture.sources import ROOT

NAME = re.compile(r"`((?:\w+\.)+\w+)`")
NAMES = sorted(set(NAME.findall((ROOT / "docs" / "walks.md").read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", NAMES)
def test_a_function_of_a_walk_exists(name: str) -> None:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            module = importlib.import_module("orchestrator." + ".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        reduce(getattr, parts[count:], module)
        return
    pytest.fail(f"there is no {name}")


def test_there_are_walks() -> None:
    assert len(NAMES) >= 35
