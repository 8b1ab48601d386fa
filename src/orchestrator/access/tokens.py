"""Verifies tokens from an identity provider (JWT, RFC 7519 and 8725) and returns the identity they contain.

    format and algorithm -> key -> signature, issuer, audience, times -> tenant and role

A verified token is cached until it expires or the provider's keys change, because verifying a signature takes longer
than the rest of the authentication.
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
_MESSAGES: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidIssuedAtError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is meant for another audience",
    jwt.InvalidIssuerError: "the token is from another issuer",
    jwt.MissingRequiredClaimError: "the token lacks one of the claims exp, iss, aud and sub",
}


@dataclass(frozen=True, slots=True)
class TokenRules:
    """The required issuer, audience and algorithms of a token, and the names of its tenant and roles claims."""

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
        """Verify a token and return its identity; `source` is the address that sent it.

        Raises:
            CredentialsRefused: the token is malformed, or not valid here and now.
            CredentialsUseless: the token contains no tenant or no known role.
            ProviderAway: the keys to verify it cannot be fetched.
            TooManyUnknown: the keys must be fetched first, and too many other tokens wait for that.
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
            raise CredentialsRefused(_MESSAGES[jwt.ExpiredSignatureError])
        return known

    async def _verify(self, shown: str, source: str) -> Identity:
        try:
            header = jwt.get_unverified_header(shown)
        except jwt.PyJWTError:
            raise CredentialsRefused(_WRONG) from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._rules.algorithms or "crit" in header or not isinstance(key_id, str | None):
            raise CredentialsRefused("the token's algorithm, key id or critical header is not accepted")
        key = await self._keys.find(key_id, shown, source)
        if not str(algorithm).startswith(_FAMILIES.get(key.key_type or "", ())):
            raise CredentialsRefused("the token's algorithm does not match its key")
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
            raise CredentialsRefused(_MESSAGES.get(type(error), _WRONG)) from None
        except (OverflowError, ValueError, TypeError):  # a time that is not a number, or infinite
            raise CredentialsRefused(_NO_TIME) from None
        if not all(_is_time(claims[name]) for name in _TIMES if name in claims):
            raise CredentialsRefused(_NO_TIME)
        return self._read(claims)

    def _read(self, claims: Mapping[str, Any]) -> Identity:
        """Return the identity in the claims of a verified token."""
        tenant, subject = _claim(claims, self._rules.tenant_claim), claims["sub"]
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            raise CredentialsUseless("the token's subject is not 1 to 255 printable ASCII characters")
        if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
            raise CredentialsUseless(f"the token's claim {self._rules.tenant_claim} contains no valid tenant")
        role = _highest(_claim(claims, self._rules.roles_claim))
        if role is None:
            raise CredentialsUseless(
                f"the token's claim {self._rules.roles_claim} contains none of the roles viewer, operator and admin"
            )
        ends = round((int(claims["exp"]) + self._rules.leeway_seconds) * 1000)
        return Identity(tenant, f"{subject} (token)", role, f"token:{subject}", ends)


def _is_time(claim: Any) -> bool:
    """Return whether a claim is a NumericDate (RFC 7519, section 2) up to the year 9999."""
    return isinstance(claim, int | float) and not isinstance(claim, bool) and 0 <= claim <= LAST_TIME_MS / 1000


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by a path of names separated by dots (`realm_access.roles`)."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _highest(named: Any) -> Role | None:
    """Return the highest known role in a list, or in a text separated by spaces."""
    words = named.split() if isinstance(named, str) else named if isinstance(named, list) else []
    return max((role for word in words if isinstance(word, str) and (role := Role.of(word))), default=None)
