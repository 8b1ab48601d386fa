"""The settings: their names, types, defaults and bounds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestrator.domain.bounds import MAX_TTL_SECONDS
from orchestrator.settings import checks
from orchestrator.settings.environment import PREFIX, secret_variables

# A list in the environment is `a,b` or `["a","b"]`. Without NoDecode, the library accepts only the latter.
Words = Annotated[tuple[str, ...], NoDecode]
Paths = Annotated[tuple[Path, ...], NoDecode]


class Settings(BaseSettings):
    """All settings. The variable of a setting is `ORCHESTRATOR_` and its name in upper case; empty means unset.

    Attributes:
        database_url: Postgres connection string; None runs an embedded Postgres below `data_dir`.
        listen_url: Connection string of the server itself, if `database_url` leads through a pooler.
        data_dir: Folder of the embedded Postgres and the artifacts.
        redis_url: Redis or Valkey for the hot tier of the cache and shared rate limits; None uses neither.
        artifact_url: Artifact store, a path or an fsspec URL; `<data_dir>/artifacts` by default.
        artifact_networks: Networks, besides public addresses, where external artifacts may be checked.
        artifact_redirect_seconds: How long an address of the store is valid to which the API redirects downloads; 0
            means that it sends the content itself.
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
        executors: Where else steps may be executed: `NAME=pull` for each pool of pull workers.
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
    listen_url: str | None = Field(default=None, repr=False)
    data_dir: Path = Path(".orchestrator")
    redis_url: str | None = Field(default=None, repr=False)
    artifact_url: str = Field(default_factory=lambda given: str(given["data_dir"] / "artifacts"), repr=False)
    archive_url: str = Field(default_factory=lambda given: str(given["data_dir"] / "archive"), repr=False)
    artifact_networks: Words = ()
    artifact_redirect_seconds: int = Field(default=0, ge=0, le=3600)
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
    executors: Words = ()
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
    _secret_variables: dict[str, str] = PrivateAttr(default_factory=secret_variables)

    @property
    def secret_variables(self) -> Mapping[str, str]:
        """The values of the variables `ORCHESTRATOR_SECRET_NAME`, by NAME, as they were when the settings were read."""
        return self._secret_variables

    _split = field_validator(
        "allowed_hosts",
        "artifact_networks",
        "auth",
        "cors_origins",
        "executors",
        "oidc_algorithms",
        "skills",
        "trusted_proxies",
        "workflows",
        mode="before",
    )(checks.split_list)
    _lower = field_validator("log_level", "log_format", "executor", "skill_fingerprint", mode="before")(
        checks.lower_case
    )
    _expand = field_validator("data_dir", "secrets_dir")(checks.expanded)
    _networks = field_validator("artifact_networks")(checks.check_networks)
    _origins = field_validator("cors_origins")(checks.check_origins)
    _executors = field_validator("executors")(checks.check_executors)
    _hosts = field_validator("allowed_hosts")(checks.check_host_names)
    _conninfo = field_validator("database_url", "listen_url")(checks.check_conninfo)
    _address = field_validator("server")(checks.check_server)
    _redis = field_validator("redis_url")(checks.check_redis_url)
    _cipher = field_validator("cipher_key")(checks.check_cipher_key)
    _algorithms = field_validator("oidc_algorithms")(checks.check_algorithms)
    _keys = field_validator("oidc_jwks_url")(checks.check_key_location)

    @field_validator("workflows")
    @classmethod
    def _expand_all(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(checks.expanded(path) for path in value)

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
    def _other_urls_need_the_first(self) -> "Settings":
        if self.database_url is None and self.listen_url is not None:
            raise ValueError(f"{PREFIX}LISTEN_URL has no effect without {PREFIX}DATABASE_URL; set both or neither")
        return self

    @model_validator(mode="after")
    def _lease_outlives_heartbeats(self) -> "Settings":
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError(
                f"{PREFIX}HEARTBEAT_SECONDS ({self.heartbeat_seconds:g}) must be at most half of "
                f"{PREFIX}LEASE_SECONDS ({self.lease_seconds:g}); otherwise one late heartbeat costs a worker its runs"
            )
        return self
