"""The steps of a run as a tree: each is below its deepest dependency."""

from collections.abc import Callable, Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree


def step_tree(depends_on: Mapping[str, Sequence[str]], row: Callable[[str], RenderableType]) -> Tree:
    """Return a tree of steps. A step's other dependencies are above it, in other branches."""
    tree = Tree(Text("steps", style="dim"), hide_root=True, guide_style="dim")
    places: dict[str, Tree] = {}
    levels = _levels(depends_on)
    for step_id in sorted(levels, key=lambda step_id: levels[step_id]):
        last = max(depends_on[step_id], key=lambda needed: levels[needed], default=None)
        place = tree if last is None else places[last]
        places[step_id] = place.add(row(step_id))
    return tree


def _levels(depends_on: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the length of the longest path to each step."""
    levels: dict[str, int] = {}
    waiting = dict(depends_on)
    while waiting:
        ready = [step_id for step_id, needed in waiting.items() if all(one in levels for one in needed)]
        for step_id in ready:
            levels[step_id] = max((levels[needed] + 1 for needed in waiting.pop(step_id)), default=0)
    return levels
