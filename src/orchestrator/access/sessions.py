"""Identifies the holders of sessions, and forgets a session when it ends or its key is revoked.

session id -> session, cached -> its key, by the keyring -> the identity
                              or its token's identity
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.access.errors import CredentialsRefused
from orchestrator.access.identity import Identity
from orchestrator.access.keyring import KEPT_SECONDS, Keyring
from orchestrator.access.pending_lookups import PendingLookups
from orchestrator.access.session_store import BrowserSession, SessionStore, session_hash
from orchestrator.postgres.listener import KEYS, Listener
from orchestrator.postgres.shared_calls import SharedCalls

_MAX_KEPT = 10_000
_ENDED = "the session has ended; sign in again"
_PREFIX = "session:"


@dataclass(frozen=True, slots=True)
class _Known:
    session: BrowserSession
    until: float


class Sessions:
    """Signs callers in and out, and identifies them by their sessions. Belongs to one event loop.

    Args:
        store: the table of sessions.
        keyring: identifies the keys that sessions belong to, or None if keys are not accepted.
        tokens: whether tokens, and therefore their sessions, are accepted.
        shared: combines concurrent lookups.
        listener: delivers the notifications of sessions that end.
        lookups: limits how many unknown sessions are looked up at the same time.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        store: SessionStore,
        keyring: Keyring | None,
        *,
        tokens: bool,
        shared: SharedCalls,
        listener: Listener,
        lookups: PendingLookups | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._tokens = tokens
        self._shared = shared
        self._listener = listener
        self._lookups = lookups or PendingLookups()
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._changes = 0
        listener.on(KEYS, self._forget)

    async def identify(self, shown: str, source: str = "") -> Identity:
        """Return the identity of the holder of a session; `source` is the address that sent it.

        Raises:
            CredentialsRefused: the session is unknown or has ended, or its key has expired or was revoked.
            TooManyUnknown: too many other unknown credentials are being looked up.
        """
        digest = session_hash(shown)
        if digest is None:
            raise CredentialsRefused(_ENDED)
        known = self._known.get(digest.hex())
        if known is None or known.until < self._clock() or not self._listener.connected:
            with self._lookups.waiting(source, digest.hex()):
                known = await self._look_up(digest)
        if known is None or time.time_ns() // 1_000_000 >= known.session.expires_at:
            raise CredentialsRefused(_ENDED)
        session = known.session
        if session.key_id is None:
            if not self._tokens:
                raise CredentialsRefused(_ENDED)
            return session.identity
        if self._keyring is None:
            raise CredentialsRefused(_ENDED)
        holder = await self._keyring.holder(session.key_id, source)
        return replace(holder, expires_at=session.expires_at)

    async def sign_in(self, identity: Identity) -> tuple[BrowserSession, str]:
        """Begin a session of an authenticated caller, and return it with its id."""
        now = time.time_ns() // 1_000_000
        return await self._shared.database.call(self._store.create, identity, now)

    async def sign_out(self, tenant: str, shown: str) -> None:
        """End a session of a tenant, if there is one with this id."""
        digest = session_hash(shown)
        if digest is not None:
            await self._shared.database.call(self._store.end, tenant, digest)
            self._known.pop(digest.hex(), None)

    async def _look_up(self, digest: bytes) -> _Known | None:
        changes = self._changes
        session = await self._shared.call(self._store.find, digest)
        if session is None:
            return None
        known = _Known(session, self._clock() + KEPT_SECONDS)
        if changes == self._changes:  # otherwise it may have ended after it was read
            self._known[digest.hex()] = known
            if len(self._known) > _MAX_KEPT:
                self._known.popitem(last=False)
        return known

    def _forget(self, payload: str) -> None:
        """Forget a session that ended, or all if notifications may have been missed. Runs on the listener's thread."""
        if payload.startswith(_PREFIX):
            self._changes += 1
            self._known.pop(payload.removeprefix(_PREFIX), None)
        elif not payload:
            self._changes += 1
            self._known.clear()
