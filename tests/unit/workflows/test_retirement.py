"""Which versions of a workflow are retired, after any sequence of its events."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.events import Event, WorkflowRegistered, WorkflowRestored, WorkflowRetired
from orchestrator.workflows.retirement import retired_versions


def registered(version: str) -> WorkflowRegistered:
    return WorkflowRegistered(0, "w", version, "", {})


def test_the_last_word_counts() -> None:
    events: list[Event] = [registered("1"), registered("2"), WorkflowRetired(0, "w", ("1", "2"))]
    assert retired_versions(events) == {"1": True, "2": True}
    events.append(registered("3"))
    assert retired_versions(events) == {"1": True, "2": True, "3": False}
    events.append(WorkflowRestored(0, "w", ("2",)))
    assert retired_versions(events) == {"1": True, "2": False, "3": False}


def test_nothing_is_known_of_no_events() -> None:
    assert retired_versions([]) == {}


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("123")), max_size=30))
def test_each_version_is_as_its_last_event_says(changes: list[tuple[bool, str]]) -> None:
    events: list[Event] = [registered(version) for version in "123"]
    events += [(WorkflowRetired if retires else WorkflowRestored)(0, "w", (version,)) for retires, version in changes]
    expected = dict.fromkeys("123", False) | {version: retires for retires, version in changes}
    assert retired_versions(events) == expected
