"""Questions to the step cache and its answers."""

from dataclasses import dataclass
from typing import Literal

from orchestrator.domain.events import HitReason
from orchestrator.domain.output import Output

TierName = Literal["memory", "hot", "cold", "base"]


@dataclass(frozen=True, slots=True)
class Question:
    """A lookup of the result for a key, produced by a skill (`id@version`).

    `shared` says whether results of other runs may be used (scope `global`). `ttl_seconds` is how old a
    result may be, in every tier. `earlier_run` is the run that produced the step's previous result, in an update or a
    retry.
    """

    step: str
    key: str
    input_hash: str
    skill: str
    shared: bool = True
    ttl_seconds: int | None = None
    earlier_run: str | None = None

    def allows(self, stored_at: int | None, now: int) -> bool:
        """Return whether a result of this age may be used. One of unknown age may not, if there is a limit.

        Both times are milliseconds since 1970 UTC.
        """
        if self.ttl_seconds is None:
            return True
        return stored_at is not None and now - stored_at < self.ttl_seconds * 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A result as a tier stores it, with the skill and the run that produced it.

    `stored_at` is when it was produced, in milliseconds since 1970 UTC, or None if the tier does not know.
    """

    skill: str
    source_run: str
    output: Output
    stored_at: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A result was found in `tier`; `source_run` produced it. `stored_at` is that of the entry, if known."""

    output: Output
    source_run: str
    tier: TierName
    reason: HitReason = "cache"
    stored_at: int | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """No result was found: the caller must produce it, and others wait for it. `miss` says why none was found."""

    miss: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """No result yet: another run is producing it. Wait, then ask again."""


Answer = Hit | Granted | Taken
