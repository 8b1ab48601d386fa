"""Tokens of an identity provider, verified with the keys it serves."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from orchestrator.access.errors import AccessError, CredentialsRefused, CredentialsUseless, ProviderAway
from orchestrator.access.identity import Role
from orchestrator.access.key_set import KeySet
from orchestrator.access.tokens import TokenRules, Tokens
from tests.integration.access.provider import AUDIENCE, ISSUER, Provider, ec_key, jwk, provider, rsa_key, token
from tests.waiting import until

FIRST, SECOND, CURVE = rsa_key(), rsa_key(), ec_key()
RULES = TokenRules(ISSUER, AUDIENCE, ("RS256", "ES256", "EdDSA"), "tenant", "roles")


@pytest.fixture
def served() -> Iterator[Provider]:
    with provider() as served:
        served.keys = [jwk("first", FIRST, alg="RS256"), jwk("curve", CURVE)]
        yield served


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(served: Provider, clock: Clock) -> Tokens:
    return Tokens(RULES, KeySet(served.url, clock=clock))


async def refused(tokens: Tokens, shown: str, kind: type[AccessError] = CredentialsRefused) -> str:
    with pytest.raises(AccessError) as caught:
        await tokens.identify(shown)
    assert type(caught.value) is kind, caught.value
    assert not any(len(part) > 8 and part in caught.value.message for part in shown.split("."))
    return caught.value.message


async def test_a_token_says_who_shows_it(tokens: Tokens) -> None:
    identity = await tokens.identify(token(FIRST))
    assert (identity.tenant, identity.actor, identity.role) == ("acme", "ada (token)", Role.OPERATOR)
    assert identity.credential == "token:ada"
    assert (await tokens.identify(token(CURVE, "curve", "ES256"))).tenant == "acme"


async def test_the_keys_are_asked_for_once_by_all(served: Provider, tokens: Tokens) -> None:
    await asyncio.gather(*(tokens.identify(token(FIRST, sub=f"user {number}")) for number in range(50)))
    assert served.asked == 1


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"iss": "https://id.example.evil"}, "another issuer"),
        ({"iss": None}, "lacks one of the claims"),
        ({"aud": "others"}, "another audience"),
        ({"aud": None}, "lacks one of the claims"),
        ({"exp": 1_000_000_000}, "has expired"),
        ({"exp": None}, "lacks one of the claims"),
        ({"exp": "never"}, "is not valid"),
        *(({"exp": time}, "is not a time in seconds") for time in (1e308, 1e12)),
        *(({"exp": time}, "the token") for time in (10**400, math.inf, math.nan, True, "32e9")),
        ({"nbf": -math.inf}, "the token"),
        ({"nbf": -1e300}, "is not a time in seconds"),
        ({"iat": math.nan}, "the token"),
        ({"iat": -1}, "is not a time in seconds"),
        ({"nbf": 32_000_000_000}, "is not valid yet"),
        ({"iat": 32_000_000_000}, "is not valid yet"),
        ({"sub": None}, "lacks one of the claims"),
    ],
)
async def test_what_is_not_for_us_or_not_now_is_refused(tokens: Tokens, claims: dict[str, Any], told: str) -> None:
    assert told in await refused(tokens, token(FIRST, **claims))


@pytest.mark.parametrize("claims", [{"aud": ["others", AUDIENCE]}, {"nbf": 1_000_000_000}, {"exp": 32_000_000_000}])
async def test_what_is_for_us_and_now_is_taken(tokens: Tokens, claims: dict[str, Any]) -> None:
    assert (await tokens.identify(token(FIRST, **claims))).actor == "ada (token)"


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"tenant": None}, "no valid tenant"),
        ({"tenant": "../other"}, "no valid tenant"),
        ({"tenant": ["acme"]}, "no valid tenant"),
        ({"roles": None}, "none of the roles"),
        ({"roles": ["owner", 1]}, "none of the roles"),
        ({"roles": {"admin": True}}, "none of the roles"),
        ({"sub": "a\nb"}, "subject"),
        ({"sub": "a" * 256}, "subject"),
    ],
)
async def test_a_right_token_that_leads_nowhere(tokens: Tokens, claims: dict[str, Any], told: str) -> None:
    assert told in await refused(tokens, token(FIRST, **claims), CredentialsUseless)


async def test_the_highest_of_the_roles_counts(served: Provider) -> None:
    rules = TokenRules(ISSUER, AUDIENCE, ("RS256",), "https://x.y/tenant", "realm_access.roles")
    tokens = Tokens(rules, KeySet(served.url))
    for roles, role in (("viewer admin", Role.ADMIN), (["viewer", "operator", "x"], Role.OPERATOR)):
        shown = token(FIRST, **{"https://x.y/tenant": "acme", "realm_access": {"roles": roles}, "tenant": "other"})
        identity = await tokens.identify(shown)
        assert (identity.tenant, identity.role) == ("acme", role)


def forged(header: dict[str, Any], signature: bytes = b"") -> str:
    """A token with any header, and the claims of a right one."""
    claims = jwt.decode(token(FIRST), options={"verify_signature": False})
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    )


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None])
async def test_a_token_without_a_signature_is_refused(tokens: Tokens, algorithm: str | None) -> None:
    await refused(tokens, forged({"alg": algorithm, "kid": "first"}))
    await refused(tokens, forged({"alg": algorithm, "kid": "first"}, b"x"))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_public_key_is_no_shared_secret(served: Provider, tokens: Tokens, algorithm: str) -> None:
    """The attack on verifiers that let the token choose: signed with what everybody may know, the public key."""
    public = FIRST.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, body, _ = forged({"alg": algorithm, "kid": "first", "typ": "JWT"}).split(".")
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    signature = base64.urlsafe_b64encode(hmac.new(public, f"{head}.{body}".encode(), digest).digest()).rstrip(b"=")
    assert "is not accepted" in await refused(tokens, f"{head}.{body}.{signature.decode()}")
    assert served.asked <= 1


async def test_a_shared_secret_in_the_key_set_is_left_out(served: Provider, tokens: Tokens) -> None:
    secret = b"s" * 32
    served.keys.append({"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(secret).decode(), "alg": "HS256"})
    await refused(tokens, token(secret, "shared", "HS256"))
    assert (await tokens.identify(token(FIRST))).tenant == "acme"


async def test_an_algorithm_that_is_not_listed_or_does_not_fit_is_refused(served: Provider) -> None:
    tokens = Tokens(TokenRules(ISSUER, AUDIENCE, ("RS256", "ES256"), "tenant", "roles"), KeySet(served.url))
    served.keys.append(jwk("edwards", edwards := ed25519.Ed25519PrivateKey.generate()))
    await refused(tokens, token(FIRST, algorithm="RS512"))
    await refused(tokens, token(edwards, "edwards", "EdDSA"))
    await refused(tokens, token(CURVE, "first", "ES256"))
    await refused(tokens, token(FIRST, "curve"))


async def test_other_headers_change_nothing(served: Provider, tokens: Tokens) -> None:
    await refused(tokens, jwt.encode({}, FIRST, "RS256", headers={"kid": "first", "crit": ["x"], "x": 1}))
    strange = {"kid": "mine", "jku": served.url, "jwk": jwk("mine", SECOND)}
    await refused(tokens, jwt.encode({"sub": "x"}, SECOND, "RS256", headers=strange))


async def test_a_changed_byte_is_noticed(tokens: Tokens) -> None:
    head, body, signature = token(FIRST).split(".")
    other = token(FIRST, roles=["admin"]).split(".")[1]
    await refused(tokens, f"{head}.{other}.{signature}")
    await refused(tokens, f"{head}.{body}.{signature[:-4]}AAAA")
    for nonsense in ("", ".", "..", "a.b", "a.b.c", "a.b.c.d.e", head, f"{head}.{body}.", "é.é.é"):
        await refused(tokens, nonsense)


async def test_a_new_key_is_found_and_a_withdrawn_one_forgotten(served: Provider, tokens: Tokens, clock: Clock) -> None:
    old, new = token(FIRST), token(SECOND, "second")
    await tokens.identify(old)
    served.keys = [jwk("second", SECOND)]
    clock.now += 20
    assert (await tokens.identify(new)).tenant == "acme"
    assert "does not have" in await refused(tokens, old)
    assert served.asked == 2


async def test_unknown_keys_are_asked_for_at_most_once_in_a_while(
    served: Provider, tokens: Tokens, clock: Clock
) -> None:
    await tokens.identify(token(FIRST))
    for number in range(30):
        await refused(tokens, token(SECOND, f"unknown {number}"))
    assert served.asked == 1
    clock.now += 11
    await asyncio.gather(*(refused(tokens, token(SECOND, f"unknown {number}")) for number in range(30)))
    assert served.asked == 2
    assert (await tokens.identify(token(FIRST))).tenant == "acme"


async def test_keys_are_read_again_beside_what_is_under_way(served: Provider, tokens: Tokens, clock: Clock) -> None:
    shown = token(FIRST)
    await tokens.identify(shown)
    served.keys = [jwk("second", SECOND)]
    clock.now += 301
    assert (await tokens.identify(shown)).tenant == "acme"  # nobody waits
    await until(lambda: served.asked >= 2 and tokens._keys.changes >= 2, 5, "the keys were read again")
    await refused(tokens, shown)


async def test_a_provider_that_is_away(
    served: Provider, tokens: Tokens, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    served.answer = (500, b"{}")
    await refused(tokens, token(FIRST), ProviderAway)
    served.answer = None
    clock.now += 11
    await tokens.identify(token(FIRST))
    for rubbish in ((200, b"{"), (200, b"[]"), (200, b'{"keys": []}'), (302, b""), (200, b" " * (2 << 20))):
        served.answer = rubbish
        clock.now += 301
        assert (await tokens.identify(token(FIRST))).tenant == "acme"
        assert tokens._keys._asking is not None
        await tokens._keys._asking
    clock.now += 3601
    await refused(tokens, token(FIRST), ProviderAway)
    assert "cannot read the keys" in caplog.text


async def test_a_token_without_a_key_id_needs_a_set_of_one(served: Provider, tokens: Tokens, clock: Clock) -> None:
    await refused(tokens, token(FIRST, None))
    served.keys = [jwk(None, FIRST)]
    clock.now += 11
    assert (await tokens.identify(token(FIRST, None))).tenant == "acme"


async def test_a_token_that_was_verified_ends_all_the_same(served: Provider) -> None:
    rules = TokenRules(ISSUER, AUDIENCE, ("RS256",), "tenant", "roles", leeway_seconds=0)
    tokens = Tokens(rules, KeySet(served.url))
    shown = token(FIRST, exp=int(time.time()) + 2)
    await tokens.identify(shown)
    await asyncio.sleep(2.1)  # the time itself is the subject: the token expires
    assert "expired" in await refused(tokens, shown)


async def test_keys_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [jwk("first", FIRST)]}))
    assert (await Tokens(RULES, KeySet(str(file))).identify(token(FIRST))).tenant == "acme"
    await refused(Tokens(RULES, KeySet(str(tmp_path / "none"))), token(FIRST), ProviderAway)
