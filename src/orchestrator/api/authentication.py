"""Authentication and authorization: identifies the caller of a request and checks rate limits and roles.

    source blocked? -> credentials -> identity -> rate limit -> role

Credentials are a key or a token in the header `Authorization` or, without that header, a session in a cookie.

Without `ORCHESTRATOR_AUTH` no credentials are needed: every caller is an admin of the installation's own tenant.
"""

import math
from typing import TYPE_CHECKING

from starlette.requests import Request

from orchestrator.access.buckets import Buckets, MemoryBuckets
from orchestrator.access.errors import AccessError, CredentialsRefused, CredentialsUseless, ProviderAway, TooManyUnknown
from orchestrator.access.failed_attempts import FailedAttempts, source_of
from orchestrator.access.identity import Identity, Role
from orchestrator.access.keyring import Keyring
from orchestrator.access.keys import PREFIX, KeyStore
from orchestrator.access.pending_lookups import PendingLookups
from orchestrator.access.rates import Rates
from orchestrator.access.session_store import BrowserSession, SessionStore
from orchestrator.access.sessions import Sessions
from orchestrator.api.errors import Forbidden, IdentityProviderAway, RateLimited, TooManyAttempts, Unauthenticated
from orchestrator.api.session_cookie import require_own_origin, session_of
from orchestrator.application.errors import RequestError
from orchestrator.postgres.listener import Listener
from orchestrator.postgres.shared_calls import SharedCalls
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.settings import Settings, SettingsError

if TYPE_CHECKING:
    from orchestrator.access.shared_buckets import SharedBuckets
    from orchestrator.access.tokens import Tokens

IDENTITY = "orchestrator.identity"
"""Key of the authenticated identity in the scope of a request."""

_SCHEME = "bearer"
_MAX_CHARACTERS = 16_384
_NEEDS_CREDENTIALS = "this call needs credentials: send Authorization: Bearer followed by your key"


class Authenticator:
    """Authenticates requests. Belongs to one event loop."""

    def __init__(self, settings: Settings, keys: KeyStore, shared: SharedCalls, listener: Listener) -> None:
        self._installation = settings.tenant
        self._open = Identity(settings.tenant, "api", Role.ADMIN, "anybody") if not settings.auth else None
        lookups = PendingLookups()
        self._keyring = Keyring(keys, shared, listener, lookups=lookups) if "keys" in settings.auth else None
        self._tokens = _build_tokens(settings, lookups) if "oidc" in settings.auth else None
        self._sessions = Sessions(
            SessionStore(shared.database),
            self._keyring,
            tokens=self._tokens is not None,
            shared=shared,
            listener=listener,
            lookups=lookups,
        )
        self._attempts = FailedAttempts(settings.auth_failures)
        self._rates = Rates(settings.rate_limit_key, settings.rate_limit_tenant, settings.rate_limit_burst_seconds)
        self._shared_buckets = _build_shared_buckets(settings) if self._rates else None
        self._buckets: Buckets = self._shared_buckets or MemoryBuckets()

    async def authenticate(self, request: Request, role: Role, *, installation: bool = False) -> Identity:
        """Return the identity of the caller, and store it in the scope of the request.

        Args:
            request: only its headers and its source address are read.
            role: the lowest role that may make this request.
            installation: whether the request concerns all tenants. If so, only the installation's own tenant
                may make it.

        Raises:
            Unauthenticated: the credentials are missing, wrong, expired or revoked.
            Forbidden: the role is too low, or the tenant is not the installation's own.
            OriginNotAllowed: a cookie authenticates the request, which changes something for a page of another origin.
            TooManyAttempts: too many failed attempts came from this source address.
            RateLimited: the key or the tenant is over its rate limit.
            IdentityProviderAway: the token cannot be verified, because the identity provider cannot be reached.
        """
        identity = self._open or await self._identify(request)
        if self._rates:
            await self._count(identity)
        if identity.role < role:
            raise Forbidden(
                f"this call needs the role {role.word}; yours is {identity.role.word}", role=identity.role.word
            )
        if installation and identity.tenant != self._installation:
            raise Forbidden("only the installation's own tenant may make this call")
        request.scope[IDENTITY] = identity
        return identity

    async def check_again(self, request: Request, role: Role) -> None:
        """Check that the credentials of an authenticated request are still valid. Used by streams.

        It counts towards no rate limit, and passes while the database is unavailable.

        Raises:
            Unauthenticated: the credentials have expired, were revoked, or belong to another tenant now.
            Forbidden: the role has become too low.
            IdentityProviderAway: the provider's key set is too old to be trusted.
        """
        if self._open is not None:
            return
        before: Identity = request.scope[IDENTITY]
        try:
            identity = await self._read(_bearer(request), request)
        except AccessError as error:
            raise _refusal(error) from None
        except DatabaseUnavailable:
            return
        if identity.tenant != before.tenant:
            raise Unauthenticated("the credentials now belong to another tenant", "invalid_token")
        if identity.role < role:
            raise Forbidden(f"the role of these credentials is now {identity.role.word}", role=identity.role.word)

    async def charge(self, request: Request, count: int) -> None:
        """Count an authenticated request as `count` requests, for instance a batch as its runs.

        Raises:
            RateLimited: the limit does not allow that many now. The request has already been counted as one.
        """
        if self._rates and count > 1:
            await self._count(request.scope[IDENTITY], count, taken=1)

    def kind(self, request: Request) -> str:
        """Return how an authenticated request was authenticated: `off`, `session`, `key` or `token`."""
        if self._open is not None:
            return "off"
        if not _has_header(request):
            return "session"
        identity: Identity = request.scope[IDENTITY]
        return identity.credential.partition(":")[0]

    async def sign_in(self, request: Request) -> tuple[BrowserSession, str] | None:
        """Begin a session of the caller of an authenticated request, and return it with its id.

        It returns None if there is no authentication, so that no session is needed.

        Raises:
            Unauthenticated: the request shows a session instead of a key or a token.
        """
        if self._open is not None:
            return None
        if not _has_header(request):
            raise Unauthenticated(_NEEDS_CREDENTIALS)
        return await self._sessions.sign_in(request.scope[IDENTITY])

    async def sign_out(self, request: Request) -> None:
        """End the session in the cookie of an authenticated request, if there is one."""
        shown = session_of(request)
        if shown is not None and self._open is None:
            await self._sessions.sign_out(request.scope[IDENTITY].tenant, shown)

    async def close(self) -> None:
        """Close the connections of shared rate limits."""
        if self._shared_buckets is not None:
            await self._shared_buckets.close()

    async def _count(self, identity: Identity, count: int = 1, *, taken: int = 0) -> None:
        seconds, whose = await self._rates.wait(self._buckets, identity, count, taken=taken)
        if seconds > 0:
            message = f"the rate limit of this {whose} is exceeded"
            if count > 1:
                message += f"; this request counts as {count:,}"
            raise RateLimited(message, math.ceil(seconds), limited=whose)

    async def _identify(self, request: Request) -> Identity:
        bearer = _bearer(request)
        if self._attempts:  # otherwise no address needs to be parsed
            pause = self._attempts.pause(_source(request))
            if pause > 0:
                raise TooManyAttempts(
                    "too many wrong credentials came from this address; try again later", math.ceil(pause)
                )
        try:
            return await self._read(bearer, request)
        except AccessError as error:
            if isinstance(error, CredentialsRefused) and bearer is not None:  # nobody guesses the id of a session
                self._attempts.failed(_source(request))
            raise _refusal(error) from None

    async def _read(self, credentials: str | None, request: Request) -> Identity:
        if credentials is None:
            require_own_origin(request)
            return await self._sessions.identify(session_of(request) or "", _address(request))
        if self._keyring is not None and credentials.startswith(PREFIX):
            return await self._keyring.identify(credentials, _address(request))
        if self._tokens is not None and not credentials.startswith(PREFIX):
            return await self._tokens.identify(credentials, _address(request))
        raise CredentialsRefused("this server does not accept this kind of credentials")


def _refusal(error: AccessError) -> RequestError:
    match error:
        case CredentialsUseless():
            return Forbidden(error.message)
        case ProviderAway():
            return IdentityProviderAway(error.message)
        case TooManyUnknown():
            return TooManyAttempts(error.message, 1)
    return Unauthenticated(error.message, "invalid_token")


def _address(request: Request) -> str:
    client = request.scope["client"]
    return client[0] if client else ""


def _source(request: Request) -> str:
    return source_of(_address(request))


def _has_header(request: Request) -> bool:
    return any(name == b"authorization" for name, _ in request.scope["headers"])


def _bearer(request: Request) -> str | None:
    """Return the credentials in the header `Authorization: Bearer ...` of a request, or None without this header.

    Raises:
        Unauthenticated: the header is repeated or malformed, or there is neither a header nor the cookie of a session.
    """
    given = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if not given:
        if session_of(request) is None:
            raise Unauthenticated(_NEEDS_CREDENTIALS)
        return None
    scheme, _, credentials = given[0].decode("latin-1").partition(" ")
    credentials = credentials.strip(" ")
    if len(given) > 1 or scheme.lower() != _SCHEME or not credentials or len(credentials) > _MAX_CHARACTERS:
        raise Unauthenticated("expected one header Authorization: Bearer followed by your key", "invalid_request")
    return str(credentials)


def _build_tokens(settings: Settings, lookups: PendingLookups) -> "Tokens":
    try:
        from orchestrator.access.key_set import KeySet  # noqa: PLC0415 - needs the extra `oidc`
        from orchestrator.access.tokens import TokenRules, Tokens  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            "ORCHESTRATOR_AUTH has oidc but pyjwt is not installed: pip install 'orchestrator[oidc]'"
        ) from error
    rules = TokenRules(
        settings.oidc_issuer or "",
        settings.oidc_audience or "",
        settings.oidc_algorithms,
        settings.oidc_tenant_claim,
        settings.oidc_roles_claim,
        settings.oidc_leeway_seconds,
    )
    return Tokens(rules, KeySet(settings.oidc_jwks_url or "", lookups=lookups))


def _build_shared_buckets(settings: Settings) -> "SharedBuckets | None":
    if settings.redis_url is None:
        return None
    try:
        from orchestrator.access.shared_buckets import SharedBuckets  # noqa: PLC0415 - needs the extra `redis`
    except ImportError as error:
        raise SettingsError(
            "ORCHESTRATOR_REDIS_URL is set but redis is not installed: pip install 'orchestrator[redis]'"
        ) from error
    return SharedBuckets(settings.redis_url, settings.redis_timeout_ms / 1000)
