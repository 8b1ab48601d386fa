"""Budgets: how much work an expression, a schema or a value from outside may cause.

Work is counted, not timed, so the result is the same on every machine and under any load. Values are counted by
what they expand to: a list that occurs in ten places counts ten times, because hashing and writing it takes ten
times as long.
"""

from typing import Any

MAX_UNITS = 1_000_000
"""How many units one evaluation, or one value, may cost. A value costs one unit, and so do 32 characters of text."""

QUICK_UNITS = 4_000
"""How much work may run on the event loop without a pause: a few milliseconds. Larger work belongs in a thread."""

_CHARACTERS = 32  # a power of two: `fingerprint` shifts by 5


class BudgetExceeded(Exception):
    """The work costs more units than the budget has left. The message, if any, names the field."""


class Budget:
    """The units that are left to spend."""

    __slots__ = ("left",)

    def __init__(self, units: int = MAX_UNITS) -> None:
        self.left = units

    def spend(self, units: int) -> None:
        """Spend units.

        Raises:
            BudgetExceeded: fewer units are left.
        """
        self.left -= units
        if self.left < 0:
            raise BudgetExceeded

    def spend_text(self, text: str) -> None:
        """Spend the cost of scanning a text.

        Raises:
            BudgetExceeded: fewer units are left.
        """
        self.spend(1 + len(text) // _CHARACTERS)

    def spend_shallow(self, value: Any) -> None:
        """Spend the cost of scanning a value, without the contents of its items.

        Raises:
            BudgetExceeded: fewer units are left.
        """
        kind = type(value)
        if kind is str:
            self.spend_text(value)
        elif kind is list:
            self.spend(1 + len(value))
            self.spend(sum(len(item) for item in value if type(item) is str) // _CHARACTERS)
        elif kind is dict:
            self.spend(1 + len(value))
        else:
            self.spend(1)

    def spend_deep(self, value: Any) -> None:
        """Spend the cost of scanning a value with all its contents; an item that occurs twice counts twice.

        Raises:
            BudgetExceeded: fewer units are left; always the case for a value that contains itself.
        """
        left = self.left - 1
        characters = 0
        waiting = [value]
        while waiting:
            item = waiting.pop()
            kind = type(item)
            if kind is str:
                characters += len(item)
                continue
            if kind is int or kind is bool or item is None or kind is float:
                continue
            if isinstance(item, dict):
                characters += sum(map(len, filter(_is_text, item)))
                inside: Any = item.values()
            elif isinstance(item, list | tuple):
                inside = item
            elif isinstance(item, str):
                characters += len(item)
                continue
            else:
                continue
            left -= len(inside)
            if left * _CHARACTERS < characters:
                self.left = -1
                raise BudgetExceeded
            waiting.extend(inside)
        self.left = left
        self.spend(characters // _CHARACTERS)


def _is_text(key: object) -> bool:
    return isinstance(key, str)
