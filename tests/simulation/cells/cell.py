"""The two kinds of database: the directory, and a cell. Every method is one transaction."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Literal


class Refused(Exception):
    """The cell does not accept this for the tenant now."""


@dataclass(frozen=True)
class Event:
    """One event of a run. `attempt` tells executions of its step apart."""

    run: str
    kind: Literal["triggered", "started", "completed"]
    attempt: int = 0


@dataclass(frozen=True)
class Entry:
    """Where a tenant lives. `generation` grows with every change of who may write."""

    cell: str
    state: Literal["active", "draining", "moving"] = "active"
    target: str | None = None
    generation: int = 1


class Directory:
    """Maps a tenant to its cell: one row, changed only by whoever knows what it was."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def swap(self, before: Entry, after: Entry) -> bool:
        """Change the row if it still is what the caller has read."""
        if self.entry != before:
            return False
        self.entry = after
        return True


def head(events: Iterable[Event]) -> str:
    """Return the head of the hash chain over events."""
    digest = b""
    for event in events:
        digest = sha256(digest + repr(event).encode()).digest()
    return digest.hex()


@dataclass(frozen=True)
class Rules:
    """The rules of the protocol. Each can be broken, to see that it is needed."""

    appends_check_the_generation: bool = True
    closes_before_the_export: bool = True
    imports_replace: bool = True
    imports_before_it_opens: bool = True
    keys_move_with_the_log: bool = True
    compares_heads: bool = True
    imports_only_while_closed: bool = True


@dataclass
class Cell:
    """A database with one tenant's log, and its fence: the generation that may write, and what it may do."""

    name: str
    rules: Rules
    generation: int = 0
    state: Literal["closed", "open", "draining"] = "closed"
    log: list[Event] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    imported: int = 0

    def trigger(self, key: str, generation: int) -> str:
        """Accept a run, or return the run that the same Idempotency-Key was accepted as."""
        self._check(generation)
        if key in self.keys:
            return self.keys[key]
        if self.state == "draining":
            raise Refused("the tenant is moving")
        self.keys[key] = f"run of {key}"
        self.log.append(Event(self.keys[key], "triggered"))
        return self.keys[key]

    def start(self, run: str, generation: int) -> int:
        """Record that an execution begins, and return its number."""
        self._check(generation)
        if any(event.run == run and event.kind == "completed" for event in self.log):
            raise Refused("it is completed")
        attempt = 1 + sum(event.run == run and event.kind == "started" for event in self.log)
        self.log.append(Event(run, "started", attempt))
        return attempt

    def complete(self, run: str, attempt: int, generation: int) -> None:
        """Accept the result of the newest execution."""
        self._check(generation)
        newest = max((event.attempt for event in self.log if event.run == run), default=0)
        if newest != attempt or Event(run, "completed", attempt) in self.log:
            raise Refused("stale")
        self.log.append(Event(run, "completed", attempt))

    def open_runs(self) -> list[str]:
        """Return the runs that are not completed, oldest first."""
        over = {event.run for event in self.log if event.kind == "completed"}
        return [event.run for event in self.log if event.kind == "triggered" and event.run not in over]

    def drain(self, generation: int) -> None:
        """Refuse new runs from now on; those that were accepted go on."""
        if generation == self.generation and self.state == "open":
            self.state = "draining"

    def close(self, generation: int) -> None:
        """Refuse everything from now on, whatever anybody else still believes. Doing so again changes nothing."""
        if generation > self.generation:
            self.generation, self.state = generation, "closed"

    def reopen(self, generation: int) -> None:
        """Accept writes of a generation again: the move was given up."""
        if generation > self.generation or (generation == self.generation and self.state == "draining"):
            self.generation, self.state = generation, "open"

    def import_(self, events: list[Event], keys: dict[str, str], generation: int) -> None:
        """Take a tenant's log. A second time replaces the first, as after a crash in the middle."""
        is_taken = self.state == "open" if not self.rules.imports_only_while_closed else self.state != "closed"
        if generation < self.generation or (generation == self.generation and is_taken):
            raise Refused("an older move")
        self.generation = generation
        if self.rules.imports_replace:
            self.log, self.keys = [], {}
        self.log.extend(events)
        if self.rules.keys_move_with_the_log:
            self.keys.update(keys)
        self.imported = generation

    def is_open(self, generation: int) -> bool:
        """Return whether the cell accepts writes of a generation."""
        return self.state == "open" and self.generation == generation

    def open(self, generation: int) -> None:
        """Accept writes of a generation, once its log is here. Doing so again changes nothing."""
        if generation < self.generation:
            raise Refused("an older move")
        if self.imported != generation and self.rules.imports_before_it_opens:
            raise Refused("nothing was imported")
        self.generation, self.state = generation, "open"

    def _check(self, generation: int) -> None:
        if self.rules.appends_check_the_generation and (self.state == "closed" or generation != self.generation):
            raise Refused("moved")


def moved(entry: Entry, **changes: object) -> Entry:
    """Return the next row of the directory."""
    return replace(entry, **changes)  # type: ignore[arg-type]
