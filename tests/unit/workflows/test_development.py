"""A definition that changes under the same version becomes a development version."""

from dataclasses import replace

import pytest

from orchestrator.domain.errors import WorkflowVersionExists
from orchestrator.workflows import define, step
from orchestrator.workflows.development import development_version

FLOW = define("flow", "1.0.0", [step("one", "skill.one")])
CHANGED = replace(FLOW, description="changed")


def known(*versions: tuple[str, str]) -> list[tuple[str, str]]:
    """Return versions with digests, each with the content that a description stands for."""
    return [(version, replace(FLOW, version=version, description=text).digest) for version, text in versions]


@pytest.mark.parametrize(
    ("registered", "version", "is_registered"),
    [
        ((), "1.0.0", False),
        ((("0.9", "changed"),), "1.0.0", False),
        ((("1.0.0", "changed"),), "1.0.0", True),
        ((("1.0.0", ""),), "1.0.0+dev.1", False),
        ((("1.0.0", ""), ("1.0.0+dev.1", "changed")), "1.0.0+dev.1", True),
        ((("1.0.0", ""), ("1.0.0+dev.1", "x")), "1.0.0+dev.2", False),
        ((("1.0.0", "changed"), ("1.0.0+dev.1", "x")), "1.0.0+dev.2", False),
        ((("1.0.0", ""), ("1.0.0+dev.9", "x"), ("1.0.0+dev.10", "y")), "1.0.0+dev.11", False),
        ((("1.0.0", ""), ("1.0.0+dev.next", "changed"), ("1.1.0", "changed")), "1.0.0+dev.1", False),
    ],
)
def test_the_version_under_which_it_is_registered(
    registered: tuple[tuple[str, str], ...], version: str, is_registered: bool
) -> None:
    found, was_there = development_version(CHANGED, known(*registered))
    assert (found, was_there) == (replace(CHANGED, version=version), is_registered)


def test_build_metadata_is_continued() -> None:
    flow = replace(CHANGED, version="1.0.0+linux")
    assert development_version(flow, [("1.0.0+linux", "other")])[0].version == "1.0.0+linux.dev.1"


def test_a_version_that_is_too_long_is_refused() -> None:
    long = "1" * 60
    with pytest.raises(WorkflowVersionExists, match="too long for a development version; shorten it"):
        development_version(replace(FLOW, version=long), [(long, "other")])
