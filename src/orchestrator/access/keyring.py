"""A cache of API keys. The database notifies the process of changes, which removes the key from the cache."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.access.errors import CredentialsRefused
from orchestrator.access.identity import Identity
from orchestrator.access.keys import Key, KeyStore, fits, key_id
from orchestrator.access.pending_lookups import PendingLookups
from orchestrator.postgres.listener import KEYS, Listener
from orchestrator.postgres.shared_calls import SharedCalls

KEPT_SECONDS = 10.0
"""How long a key is cached. It bounds the delay of a change if the notification connection is dead unnoticed."""

_MAX_KEPT = 10_000
_WRONG = "the API key is not valid"


@dataclass(frozen=True, slots=True)
class _Known:
    key: Key
    identity: Identity
    until: float


class Keyring:
    """Identifies the holders of API keys. Belongs to one event loop."""

    def __init__(
        self,
        store: KeyStore,
        shared: SharedCalls,
        listener: Listener,
        *,
        lookups: PendingLookups | None = None,
        clock: Callable[[], float] = time.monotonic,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        self._store = store
        self._shared = shared
        self._listener = listener
        self._lookups = lookups or PendingLookups()
        self._clock = clock
        self._kept_seconds = kept_seconds
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._changes = 0
        listener.on(KEYS, self._forget)

    async def identify(self, shown: str, source: str = "") -> Identity:
        """Return the identity that belongs to a key; `source` is the address that sent it.

        Raises:
            CredentialsRefused: the key is malformed, unknown, expired or revoked.
            TooManyUnknown: too many other unknown keys are being looked up.
        """
        identity = key_id(shown)
        if identity is None:
            raise CredentialsRefused(_WRONG)
        known = await self._find(identity, source)
        if not fits(shown, None if known is None else known.key) or known is None:
            raise CredentialsRefused(_WRONG)
        return _valid(known)

    async def holder(self, identity: str, source: str = "") -> Identity:
        """Return the identity that belongs to the key with an id, for a session that was opened with this key.

        Raises:
            CredentialsRefused: the key is unknown, expired or revoked.
            TooManyUnknown: too many other unknown keys are being looked up.
        """
        known = await self._find(identity, source)
        if known is None:
            raise CredentialsRefused(_WRONG)
        return _valid(known)

    async def _find(self, identity: str, source: str) -> _Known | None:
        known = self._known.get(identity)
        if known is None or known.until < self._clock() or not self._listener.connected:
            with self._lookups.waiting(source, identity):
                known = await self._look_up(identity)
        return known

    async def _look_up(self, identity: str) -> _Known | None:
        changes = self._changes
        key = await self._shared.call(self._store.find, identity)
        if key is None:
            return None
        actor = f"{key.name} (key {key.id})"
        holder = Identity(key.tenant, actor, key.role, f"key:{key.id}", key.expires_at, key.pool)
        known = _Known(key, holder, self._clock() + self._kept_seconds)
        self._known[identity] = known
        if changes != self._changes:  # the key may have changed after it was read
            self._known.pop(identity, None)
        elif len(self._known) > _MAX_KEPT:
            self._known.popitem(last=False)
        return known

    def _forget(self, identity: str) -> None:
        """Forget a changed key, or all if `identity` is empty: then any key may have changed.

        Runs on the listener's thread. Each operation is atomic, so no lock is needed.
        """
        self._changes += 1
        if identity:
            self._known.pop(identity, None)
        else:
            self._known.clear()


def _valid(known: _Known) -> Identity:
    if known.key.revoked_at is not None:
        raise CredentialsRefused("the API key was revoked")
    if not known.key.is_valid(time.time_ns() // 1_000_000):
        raise CredentialsRefused("the API key has expired")
    return known.identity
