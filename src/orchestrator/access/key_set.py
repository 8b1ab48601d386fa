"""The public keys of an identity provider (JWKS, RFC 7517), loaded from a file or a URL and refreshed.

a token names an unknown key       -> reload, once for all waiting requests, at most every 10 s
the keys are 5 minutes old         -> reload in the background, and use the old keys until then
reloading has failed for an hour   -> the keys are too old to be trusted
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import orjson

from orchestrator.access.errors import CredentialsRefused, ProviderAway
from orchestrator.access.pending_lookups import PendingLookups

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 300.0
TRUST_SECONDS = 3600.0
PAUSE_SECONDS = 10.0

_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 1 << 20
_MAX_KEYS = 100
# Public keys only. If a shared secret were accepted, anyone who knows it could sign tokens.
_KINDS = frozenset({"RSA", "EC", "OKP"})


class KeySet:
    """The keys, by key id. Belongs to one event loop."""

    def __init__(
        self,
        source: str,
        *,
        lookups: PendingLookups | None = None,
        pause_seconds: float = PAUSE_SECONDS,
        refresh_seconds: float = REFRESH_SECONDS,
        trust_seconds: float = TRUST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._lookups = lookups or PendingLookups()
        self._pause_seconds = pause_seconds
        self._refresh_seconds = refresh_seconds
        self._trust_seconds = trust_seconds
        self._clock = clock
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._read_at = -trust_seconds
        self._asked_at = -pause_seconds
        self._asking: asyncio.Task[None] | None = None
        self.changes = 0
        """How often the keys have changed. Tokens verified with earlier keys must be verified again."""

    async def current(self, shown: str = "", source: str = "") -> None:
        """Make sure that the keys are recent enough to be trusted, and reload them if necessary.

        Args:
            shown: the token to verify.
            source: the address that sent it.

        Raises:
            ProviderAway: the keys are too old, and the provider is unavailable.
            TooManyUnknown: too many other credentials wait for the provider.
        """
        age = self._clock() - self._read_at
        if age >= self._refresh_seconds:
            reloading = self._reload()
            if age >= self._trust_seconds:
                if reloading is not None:
                    with self._lookups.waiting(source, shown):
                        await asyncio.shield(reloading)
                if self._clock() - self._read_at >= self._trust_seconds:
                    raise ProviderAway("cannot fetch the keys of the identity provider; try again later")

    async def find(self, key_id: str | None, shown: str = "", source: str = "") -> jwt.PyJWK:
        """Return the key with an id or, without an id, the only key.

        Args:
            key_id: the key id in the token's header.
            shown: the token to verify.
            source: the address that sent it.

        Raises:
            CredentialsRefused: there is no such key.
            ProviderAway: the keys are too old, and the provider is unavailable.
            TooManyUnknown: too many other credentials wait for the provider.
        """
        await self.current(shown, source)
        if self._named(key_id) is None and (reloading := self._reload()) is not None:
            with self._lookups.waiting(source, shown):
                await asyncio.shield(reloading)
        found = self._named(key_id)
        if found is None:
            raise CredentialsRefused("the token is signed with a key that the identity provider does not have")
        return found

    def _named(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _reload(self) -> "asyncio.Task[None] | None":
        """Start reloading the keys, or return the reload in progress; None if one was started in the last 10 s."""
        if self._asking is not None and not self._asking.done():
            return self._asking
        if self._clock() - self._asked_at < self._pause_seconds:
            return None
        self._asked_at = self._clock()
        self._asking = asyncio.ensure_future(self._read())
        return self._asking

    async def _read(self) -> None:
        try:
            keys = _parse(await _load(self._source))
        except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
            logger.warning("cannot read the keys of the identity provider: %s: %s", type(error).__name__, error)
            return
        self._read_at = self._clock()
        if _material(keys) != _material(self._keys):
            self._keys = keys
            self.changes += 1
            logger.info("loaded %d keys of the identity provider", len(keys))


async def _load(source: str) -> bytes:
    if not source.startswith(("http://", "https://")):
        return await asyncio.to_thread(Path(source).read_bytes)
    body = b""
    async with (
        httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False) as client,
        asyncio.timeout(2 * _TIMEOUT_SECONDS),
        client.stream("GET", source, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status_code != 200:
            raise ValueError(f"the response has status {answer.status_code}")
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > _MAX_BYTES:
                raise ValueError(f"the response is larger than {_MAX_BYTES:,} bytes")
    return body


def _parse(body: bytes) -> dict[str | None, jwt.PyJWK]:
    """Return the keys of a key set that verify signatures. Unsupported keys are ignored (RFC 7517, section 5)."""
    document: Any = orjson.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise ValueError("it is not a key set (RFC 7517)")
    keys: dict[str | None, jwt.PyJWK] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("kty") not in _KINDS or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK.from_dict({name: value for name, value in entry.items() if name != "d"})
        except jwt.PyJWTError:
            continue
        keys[key.key_id] = key
    if not keys:
        raise ValueError("it has no supported key that verifies signatures")
    return keys


def _material(keys: Mapping[str | None, jwt.PyJWK]) -> dict[str | None, bytes]:
    """Return the keys in a form that can be compared."""
    return {name: _public(key) for name, key in keys.items()}


def _public(key: jwt.PyJWK) -> bytes:
    return orjson.dumps(key.Algorithm.to_jwk(key.key, as_dict=True), option=orjson.OPT_SORT_KEYS)
