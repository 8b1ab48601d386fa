"""Tokens of an identity provider (JWT, RFC 7519 and 8725): whose they are, if they are meant for us and in force.

    form and algorithm -> the key it names -> signature, issuer, audience, times -> tenant and role

What was verified once is remembered until the token ends or the provider's keys become others: a signature takes
longer to verify than all the rest of a request's way in.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jwt

from orchestrator.access.errors import CredentialsRefused, CredentialsUseless
from orchestrator.access.identity import Identity, Role
from orchestrator.access.key_set import KeySet
from orchestrator.domain.bounds import LAST_TIME_MS

_MAX_KEPT = 10_000
_TENANT = re.compile(r"[A-Za-z0-9._-]{1,255}")
_SUBJECT = re.compile(r"[\x20-\x7e]{1,255}")
_REQUIRED = ["exp", "iss", "aud", "sub"]
_FAMILIES = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("EdDSA",)}
_TIMES = ("exp", "nbf", "iat")
_WRONG = "the token is not valid"
_NO_TIME = "the token's exp, nbf or iat is not a time in seconds from 1970 to 9999"
_WHY: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidIssuedAtError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is meant for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
    jwt.MissingRequiredClaimError: "the token lacks one of the claims exp, iss, aud and sub",
}


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say: issuer, audience, an algorithm of the list; and the claims that name tenant and roles."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    tenant_claim: str
    roles_claim: str
    leeway_seconds: float = 10.0


class Tokens:
    """Verifies tokens. Belongs to one event loop."""

    def __init__(self, rules: TokenRules, keys: KeySet) -> None:
        self._rules = rules
        self._keys = keys
        self._verified: OrderedDict[bytes, Identity] = OrderedDict()
        self._changes = keys.changes

    async def identify(self, shown: str, source: str = "") -> Identity:
        """Return who shows a token; `source` is the address it comes from.

        Raises:
            CredentialsRefused: it is none, or not valid here and now.
            CredentialsUseless: it names no tenant, or no role that we know.
            ProviderAway: the keys to verify it with cannot be had.
            TooManyUnknown: they have to be asked for, and too many others wait for that.
        """
        await self._keys.current(shown, source)
        if self._changes != self._keys.changes:
            self._verified.clear()
            self._changes = self._keys.changes
        name = sha256(shown.encode()).digest()
        known = self._verified.get(name)
        if known is None:
            known = await self._verify(shown, source)
            self._verified[name] = known
            if len(self._verified) > _MAX_KEPT:
                self._verified.popitem(last=False)
        elif known.expires_at is not None and time.time() * 1000 >= known.expires_at:
            del self._verified[name]
            raise CredentialsRefused(_WHY[jwt.ExpiredSignatureError])
        return known

    async def _verify(self, shown: str, source: str) -> Identity:
        try:
            header = jwt.get_unverified_header(shown)
        except jwt.PyJWTError:
            raise CredentialsRefused(_WRONG) from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._rules.algorithms or "crit" in header or not isinstance(key_id, str | None):
            raise CredentialsRefused("the token is signed in a way that is not taken here")
        key = await self._keys.find(key_id, shown, source)
        if not str(algorithm).startswith(_FAMILIES.get(key.key_type or "", ())):
            raise CredentialsRefused("the token is signed in a way that does not fit its key")
        try:
            claims = jwt.decode(
                shown,
                key.key,
                algorithms=[str(algorithm)],
                issuer=self._rules.issuer,
                audience=self._rules.audience,
                leeway=self._rules.leeway_seconds,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as error:
            raise CredentialsRefused(_WHY.get(type(error), _WRONG)) from None
        except (OverflowError, ValueError, TypeError):  # a time that is no number, or infinite
            raise CredentialsRefused(_NO_TIME) from None
        if not all(_is_time(claims[name]) for name in _TIMES if name in claims):
            raise CredentialsRefused(_NO_TIME)
        return self._read(claims)

    def _read(self, claims: Mapping[str, Any]) -> Identity:
        """Return who a verified token speaks of."""
        tenant, subject = _claim(claims, self._rules.tenant_claim), claims["sub"]
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            raise CredentialsUseless("the token's subject cannot be a name here")
        if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
            raise CredentialsUseless(f"the token names no tenant in its claim {self._rules.tenant_claim}")
        role = _highest(_claim(claims, self._rules.roles_claim))
        if role is None:
            raise CredentialsUseless(f"the token names none of our roles in its claim {self._rules.roles_claim}")
        ends = round((int(claims["exp"]) + self._rules.leeway_seconds) * 1000)
        return Identity(tenant, f"{subject} (token)", role, f"token:{subject}", ends)


def _is_time(claim: Any) -> bool:
    """Say whether a claim is a NumericDate (RFC 7519, section 2), of years that can be written."""
    return isinstance(claim, int | float) and not isinstance(claim, bool) and 0 <= claim <= LAST_TIME_MS / 1000


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by a path of names with dots (`realm_access.roles`)."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _highest(named: Any) -> Role | None:
    """Return the highest role among those named, in a list or a text with spaces."""
    words = named.split() if isinstance(named, str) else named if isinstance(named, list) else []
    return max((role for word in words if isinstance(word, str) and (role := Role.of(word))), default=None)
