"""All settings of the program, read once and frozen. The only module that reads `ORCHESTRATOR_*` variables."""

import base64
import binascii
import ctypes
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestrator.domain.bounds import MAX_TTL_SECONDS

PREFIX = "ORCHESTRATOR_"
SECRET_PREFIX = f"{PREFIX}SECRET_"
"""The variable of a secret for skills is this and the secret's name."""

# A list in the environment is `a,b` or `["a","b"]`. Without NoDecode, the library accepts only the latter.
Words = Annotated[tuple[str, ...], NoDecode]
Paths = Annotated[tuple[Path, ...], NoDecode]

# Settings whose values never appear in messages, because they may contain a password.
_SECRET = frozenset({"cipher_key", "database_url", "key", "redis_url", "server"})
# Settings that a process which runs skills removes from its environment after reading them.
_FORGOTTEN = ("artifact_url", "archive_url", "cipher_key", "database_url", "key", "redis_url")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?")
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")
_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_DEPENDS = "default_factory_not_called"
_CIPHER_KEY_BYTES = (16, 24, 32)


class SettingsError(Exception):
    """A setting has an invalid value. The message names the variable and what was expected."""


class Settings(BaseSettings):
    """All settings. The variable of a setting is `ORCHESTRATOR_` and its name in upper case; empty means unset.

    Attributes:
        database_url: Postgres connection string; None runs an embedded Postgres below `data_dir`.
        data_dir: Folder of the embedded Postgres and the artifacts.
        redis_url: Redis or Valkey for the hot tier of the cache and shared rate limits; None uses neither.
        artifact_url: Artifact store, a path or an fsspec URL; `<data_dir>/artifacts` by default.
        artifact_networks: Networks, besides public addresses, where external artifacts may be checked.
        archive_url: Where archived runs are stored, a path or an fsspec URL; `<data_dir>/archive` by default.
        retention_days: How long finished runs stay in the log, unless `retention apply --older-than` is given; None
            means forever.
        tenant: The tenant used where none is given.
        server: Address of a server; commands that can use a server then call it, not the data directory.
        key: The API key or token to send to that server.
        skills: Sources of skills: modules, files, packages, YAML declarations.
        workflows: Workflow files, or folders with workflows, to register at start.
        secrets_dir: Folder with a file for each secret that skills use.
        host: Address that the API listens on.
        port: Port that the API listens on; 0 picks a free one.
        allowed_hosts: Host names, besides loopback, that a server without authentication accepts.
        metrics_host: Address on which a worker or a projector serves its metrics.
        metrics_port: Port for the metrics; 0 picks a free one, None serves none.
        auth: How callers of the API authenticate: `keys`, `oidc` or both. If empty, everybody on this machine may use
            the API, and nobody else.
        auth_failures: Wrong credentials from one source before it has to wait between attempts.
        trusted_proxies: Addresses of proxies whose X-Forwarded-For is trusted.
        oidc_issuer: The required `iss` of tokens.
        oidc_audience: The required `aud` of tokens.
        oidc_jwks_url: Location of the issuer's keys: a URL, or the path of a file.
        oidc_algorithms: Accepted signature algorithms.
        oidc_tenant_claim: The claim with the tenant, or a dotted path to it.
        oidc_roles_claim: The claim with the roles, or a dotted path to it.
        oidc_leeway_seconds: How far the issuer's clock and ours may differ.
        rate_limit_key: Requests per second for one key or token; 0 means no limit.
        rate_limit_tenant: Requests per second for one tenant; 0 means no limit.
        rate_limit_burst_seconds: Size of a burst, in seconds' worth of requests.
        log_format: `json`, `console`, or `auto` (console on a terminal, otherwise JSON).
        log_level: The least severe level that is logged.
        lease_seconds: How long a worker may miss heartbeats before others take over its runs. It stops executing
            after 80 % of the lease.
        heartbeat_seconds: Time between heartbeats; at most half a lease.
        stall_seconds: How long a skill may block the event loop before its worker exits.
        max_runs: How many runs one worker drives at the same time.
        threads: Threads of a worker for skills that are plain functions; with `process`, its child processes.
        executor: Where skills run: `thread` or `process`.
        max_requests: How many requests are served at the same time; more get 503.
        max_connections: How many connections a process holds at the same time; beyond that, idle and slow ones are
            closed for new ones.
        pool_size: Size of a process's database connection pool.
        cors_origins: Origins whose web pages may use the API; empty means none.
        otlp_endpoint: Address of a collector for spans, OTLP over HTTP; None sends none.
        statement_timeout_ms: Longest time for one SQL statement.
        network_timeout_ms: How long a database connection may stay silent before it is replaced.
        step_log_bytes: How many bytes of what a skill prints are kept for one attempt; 0 keeps nothing.
        spill_bytes: Step data larger than this many bytes is stored as an artifact.
        max_attempts_bound: The highest `maxAttempts` that a workflow may set.
        cipher_key: Encrypts stored events (AES): base64 of 16, 24 or 32 bytes; None stores them unencrypted.
        compress: Whether stored events are compressed.
        cache_memory_bytes: Size of the memory tier of one worker; 0 turns it off.
        cache_ttl_seconds: How long the hot tier keeps an entry, unless the step sets `ttlSeconds`.
        skill_fingerprint: What happens when the code of a skill changes but its version does not: nothing (`off`), a
            warning (`warn`), or the code is part of the version for the cache (`version`). None means `version` for
            `dev` and `run`, and `warn` for `worker`.
        redis_timeout_ms: How long to wait for Redis before the cold tier is used instead.
        shutdown_grace_seconds: How long executing steps may take to finish after SIGTERM.
        projector_batch: How many events a projection applies in one transaction.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    database_url: str | None = Field(default=None, repr=False)
    data_dir: Path = Path(".orchestrator")
    redis_url: str | None = Field(default=None, repr=False)
    artifact_url: str = Field(default_factory=lambda given: str(given["data_dir"] / "artifacts"), repr=False)
    archive_url: str = Field(default_factory=lambda given: str(given["data_dir"] / "archive"), repr=False)
    artifact_networks: Words = ()
    retention_days: float | None = Field(default=None, ge=0, le=36_500)
    tenant: str = Field(default="default", pattern=r"^[A-Za-z0-9._-]{1,255}$")
    server: str | None = Field(default=None, repr=False)
    key: SecretStr | None = None
    skills: Words = ()
    workflows: Paths = ()
    secrets_dir: Path = Path("/run/secrets")
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=0, le=65535)
    allowed_hosts: Words = ()
    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    cors_origins: Words = ()
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/\s]+(/\S*)?$", repr=False)
    auth: Annotated[tuple[Literal["keys", "oidc"], ...], NoDecode] = ()
    auth_failures: int = Field(default=10, ge=1, le=1_000_000)
    trusted_proxies: Words = ("127.0.0.1", "::1")
    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    oidc_jwks_url: str | None = None
    oidc_algorithms: Words = ("RS256", "ES256")
    oidc_tenant_claim: str = Field(default="tenant", min_length=1)
    oidc_roles_claim: str = Field(default="roles", min_length=1)
    oidc_leeway_seconds: float = Field(default=10.0, ge=0, le=300)
    rate_limit_key: float = Field(default=0.0, ge=0, le=1_000_000)
    rate_limit_tenant: float = Field(default=0.0, ge=0, le=1_000_000)
    rate_limit_burst_seconds: float = Field(default=2.0, gt=0, le=3600)
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    lease_seconds: float = Field(default=15.0, ge=0.1, le=3600)
    heartbeat_seconds: float = Field(default=1.0, gt=0, le=1800)
    stall_seconds: float = Field(default=60.0, ge=1, le=86_400)
    max_runs: int = Field(default=500, ge=1, le=100_000)
    threads: int = Field(default=8, ge=1, le=1024)
    executor: Literal["thread", "process"] = "thread"
    max_requests: int = Field(default=1000, ge=1, le=1_000_000)
    max_connections: int = Field(default=4096, ge=1, le=1_000_000)
    pool_size: int = Field(default=8, ge=1, le=1000)
    statement_timeout_ms: int = Field(default=30_000, ge=100, le=86_400_000)
    network_timeout_ms: int = Field(default=10_000, ge=100, le=600_000)
    step_log_bytes: int = Field(default=10 << 20, ge=0, le=1 << 34)
    spill_bytes: int = Field(default=32_768, ge=0, le=1 << 30)
    max_attempts_bound: int = Field(default=5, ge=1, le=1000)
    cipher_key: SecretStr | None = None
    compress: bool = False
    cache_memory_bytes: int = Field(default=64 << 20, ge=0, le=1 << 40)
    cache_ttl_seconds: int = Field(default=86_400, ge=1, le=MAX_TTL_SECONDS)
    skill_fingerprint: Literal["off", "warn", "version"] | None = None
    redis_timeout_ms: int = Field(default=250, ge=1, le=60_000)
    shutdown_grace_seconds: float = Field(default=10.0, ge=0, le=86_400)
    projector_batch: int = Field(default=2000, ge=1, le=100_000)
    _secret_variables: dict[str, str] = PrivateAttr(default_factory=lambda: _secret_variables())  # noqa: PLW0108 - defined below

    @property
    def secret_variables(self) -> Mapping[str, str]:
        """The values of the variables `ORCHESTRATOR_SECRET_NAME`, by NAME, as they were when the settings were read."""
        return self._secret_variables

    @field_validator(
        "allowed_hosts",
        "artifact_networks",
        "auth",
        "cors_origins",
        "oidc_algorithms",
        "skills",
        "trusted_proxies",
        "workflows",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            try:
                return json.loads(value)
            except json.JSONDecodeError:
                raise ValueError('expected a list, a,b or ["a", "b"]') from None
        return tuple(word.strip() for word in value.split(",") if word.strip())

    @field_validator("log_level", "log_format", "executor", "skill_fingerprint", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("data_dir", "secrets_dir", mode="after")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return _expanded(value)

    @field_validator("workflows", mode="after")
    @classmethod
    def _expand_all(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(_expanded(path) for path in value)

    @field_validator("artifact_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"expected addresses or networks such as 10.0.0.0/8: {error}") from None
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError("expected origins like https://studio.example:8443, without a path, or *")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError("expected names like studio.example, without a scheme, a port or a path")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_conninfo(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                conninfo_to_dict(value)
            except ProgrammingError:
                raise ValueError("expected postgresql://user:password@host:port/database") from None
        return value

    @field_validator("server")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("expected http://host:port, or https:// with TLS")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("expected redis://host:port/0, rediss:// with TLS, or unix:///path/to/socket")
        return value

    @field_validator("cipher_key")
    @classmethod
    def _is_aes_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                size = len(base64.b64decode(value.get_secret_value(), validate=True))
            except (binascii.Error, ValueError):
                size = 0
            if size not in _CIPHER_KEY_BYTES:
                raise ValueError(
                    "expected base64 of 16, 24 or 32 random bytes (make one with: openssl rand -base64 32)"
                )
        return value

    @field_validator("oidc_algorithms")
    @classmethod
    def _are_asymmetric(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= _ALGORITHMS:
            raise ValueError(f"expected some of {', '.join(sorted(_ALGORITHMS))}")
        return value

    @field_validator("oidc_jwks_url")
    @classmethod
    def _is_trustworthy(cls, value: str | None) -> str | None:
        if value is not None and value.startswith("http://") and urlsplit(value).hostname not in _LOOPBACK:
            raise ValueError("expected https://, or the path of a file; over http, an attacker could replace the keys")
        return value

    @model_validator(mode="after")
    def _auth_is_complete(self) -> "Settings":
        given = {name: getattr(self, f"oidc_{name}") for name in ("issuer", "audience", "jwks_url")}
        names = [
            f"{PREFIX}OIDC_{name.upper()}" for name, value in given.items() if (value is None) == self._takes_tokens
        ]
        if names and self._takes_tokens:
            raise ValueError(f"{PREFIX}AUTH contains oidc, which also needs {', '.join(names)}")
        if names:
            raise ValueError(f"{', '.join(names)} has no effect without oidc in {PREFIX}AUTH; set both or neither")
        return self

    @property
    def _takes_tokens(self) -> bool:
        return "oidc" in self.auth

    @model_validator(mode="after")
    def _lease_outlives_heartbeats(self) -> "Settings":
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError(
                f"{PREFIX}HEARTBEAT_SECONDS ({self.heartbeat_seconds:g}) must be at most half of "
                f"{PREFIX}LEASE_SECONDS ({self.lease_seconds:g}); otherwise one late heartbeat costs a worker its runs"
            )
        return self


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment.

    Args:
        **overrides: Settings by name that take precedence over the environment; None means not given.

    Raises:
        SettingsError: A value is invalid. The message has one line for each problem, with its variable.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        # A default that depends on an invalid value is not a separate problem.
        found = (details for details in error.errors(include_url=False) if details["type"] != _DEPENDS)
        problems = [_problem(details, given) for details in found]
    # Raised outside of `except`, because the library's error, as the cause, would reveal every value.
    raise SettingsError("\n".join(problems))


def forget_secrets() -> None:
    """Remove the settings that may contain a secret from the environment of this process.

    Then the child processes of Python skills do not inherit them. On Linux, they are also overwritten in the memory
    behind /proc/PID/environ, which shows the environment from the start of the process.
    """
    secrets = [name for name in os.environ if name.startswith(SECRET_PREFIX)]
    names = [*(f"{PREFIX}{name.upper()}" for name in _FORGOTTEN), *secrets]
    given = [name for name in names if os.environ.pop(name, None) is not None]
    if given and sys.platform == "linux":
        _overwrite([os.fsencode(name) for name in given])


def _overwrite(names: Sequence[bytes]) -> None:
    """Fill the values of variables in the initial environment with zeros."""
    try:
        # The 50th and 51st field of proc_pid_stat(5), counted after the program's name in parentheses.
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return
    start, end = int(fields[47]), int(fields[48])
    block = b"\0" + ctypes.string_at(start, end - start) if 0 < start < end else b""
    for name in names:
        place = block.find(b"\0" + name + b"=")
        if place >= 0:
            value = place + len(name) + 1  # offset in the process: after the `=`, without the byte prepended above
            length = block.find(b"\0", value + 1) - value - 1
            ctypes.memset(start + value, 0, max(0, length))


def _secret_variables() -> dict[str, str]:
    return {
        name.removeprefix(SECRET_PREFIX): value for name, value in os.environ.items() if name.startswith(SECRET_PREFIX)
    }


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("the home folder cannot be determined; write out the full path") from None


def _problem(details: ErrorDetails, given: Mapping[str, Any]) -> str:
    reason = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        return reason
    name, *rest = (str(part) for part in details["loc"])
    if name not in Settings.model_fields:
        return f"unknown setting {name}"
    variable = f"{PREFIX}{name.upper()}" + "".join(f"[{part}]" for part in rest)
    value = "" if name in _SECRET else f" {details['input']!r}"
    source = f" (given as --{name.replace('_', '-')})" if name in given else ""
    return f"{variable}{source}: invalid value{value}: {reason[:1].lower()}{reason[1:]}"
