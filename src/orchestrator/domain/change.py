"""Changes of a payload: merging a patch (RFC 7396), and finding the fields in which two payloads differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.selectors import Path

PAYLOAD_PATCH = "payload.patch"
"""The built-in change type: its seeds are the steps that read the fields that the patch changes."""


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """A request to change a finished run.

    `payload` is a merge patch for the base run's payload; `force` names the steps that bypass the cache, or is True
    for all seeds.
    """

    type: str
    payload: Mapping[str, Any]
    force: tuple[str, ...] | bool = False


def merge_patch(target: Any, patch: Any) -> Any:
    """Return `target` with a JSON merge patch applied (RFC 7396); neither argument is modified."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def changed_paths(before: Any, after: Any, at: Path = ()) -> Iterator[Path]:
    """Yield the paths at which two JSON values differ.

    Paths descend only while both sides are objects; a list that differs anywhere counts as a whole.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in {**before, **after}:
            if name in before and name in after:
                yield from changed_paths(before[name], after[name], (*at, name))
            else:
                yield (*at, name)
    elif not same_json(before, after):
        yield at


def same_json(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal; unlike in Python, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)
