"""What is asked of the step cache and what it answers."""

from dataclasses import dataclass
from typing import Literal

from orchestrator.domain.events import HitReason
from orchestrator.domain.output import Output

TierName = Literal["memory", "hot", "cold", "base"]


@dataclass(frozen=True, slots=True)
class Question:
    """Is there a result for this key, made by this skill (`id@version`)?

    `shared` is whether results of other runs may serve (scope `global`), `ttl_seconds` the step's limit for
    the hot tier. `earlier_run` is the run that made the step's result before, in an update or a retry.
    """

    step: str
    key: str
    input_hash: str
    skill: str
    shared: bool = True
    ttl_seconds: int | None = None
    earlier_run: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A result as a tier keeps it: what `skill` made in `source_run`."""

    skill: str
    source_run: str
    output: Output


@dataclass(frozen=True, slots=True)
class Hit:
    """A result is there: `source_run` made it, `tier` had it."""

    output: Output
    source_run: str
    tier: TierName
    reason: HitReason = "cache"


@dataclass(frozen=True, slots=True)
class Granted:
    """No result: the asker is the one to make it, and others wait for it. `miss` says why none was found."""

    miss: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """No result yet: somebody else is making it. Wait, then ask again."""


Answer = Hit | Granted | Taken
