"""Checks of single settings. Each returns the value, or raises ValueError with what was expected."""

import base64
import binascii
import json
import re
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?")
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")
_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
_EXECUTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}=pull")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_CIPHER_KEY_BYTES = (16, 24, 32)


def split_list(value: object) -> object:
    """Return the items of `a,b` or `["a", "b"]`; anything but a string is returned as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            raise ValueError('expected a list, a,b or ["a", "b"]') from None
    return tuple(word.strip() for word in value.split(",") if word.strip())


def lower_case(value: object) -> object:
    """Return a string in lower case; anything else as it is."""
    return value.lower() if isinstance(value, str) else value


def check_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check addresses and networks."""
    for network in value:
        try:
            ip_network(network)
        except ValueError as error:
            raise ValueError(f"expected addresses or networks such as 10.0.0.0/8: {error}") from None
    return value


def check_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check the origins of web pages."""
    for origin in value:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError("expected origins like https://studio.example:8443, without a path, or *")
    return value


def check_executors(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check the names and kinds of executors."""
    names = [each.partition("=")[0] for each in value]
    for each in value:
        if not _EXECUTOR.fullmatch(each):
            raise ValueError("expected NAME=pull, with a name of up to 63 letters, digits and . _ -")
    if "local" in names:
        raise ValueError("expected another name than local, which is the worker itself")
    if len({*names}) < len(names):
        raise ValueError("expected each name once")
    return value


def check_host_names(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check host names."""
    for name in value:
        if not _NAME.fullmatch(name):
            raise ValueError("expected names like studio.example, without a scheme, a port or a path")
    return value


def check_conninfo(value: str | None) -> str | None:
    """Check a connection string of Postgres."""
    if value is not None:
        try:
            conninfo_to_dict(value)
        except ProgrammingError:
            raise ValueError("expected postgresql://user:password@host:port/database") from None
    return value


def check_server(value: str | None) -> str | None:
    """Check the address of a server."""
    if value is not None and not value.startswith(("http://", "https://")):
        raise ValueError("expected http://host:port, or https:// with TLS")
    return value


def check_redis_url(value: str | None) -> str | None:
    """Check the address of Redis or Valkey."""
    if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("expected redis://host:port/0, rediss:// with TLS, or unix:///path/to/socket")
    return value


def check_cipher_key(value: SecretStr | None) -> SecretStr | None:
    """Check that a key has a size that AES takes."""
    if value is not None:
        try:
            size = len(base64.b64decode(value.get_secret_value(), validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if size not in _CIPHER_KEY_BYTES:
            raise ValueError("expected base64 of 16, 24 or 32 random bytes (make one with: openssl rand -base64 32)")
    return value


def check_algorithms(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check that signatures are made with a private key."""
    if not value or not set(value) <= _ALGORITHMS:
        raise ValueError(f"expected some of {', '.join(sorted(_ALGORITHMS))}")
    return value


def check_key_location(value: str | None) -> str | None:
    """Check that nobody on the way can replace the keys of the issuer."""
    if value is not None and value.startswith("http://") and urlsplit(value).hostname not in _LOOPBACK:
        raise ValueError("expected https://, or the path of a file; over http, an attacker could replace the keys")
    return value


def expanded(path: Path) -> Path:
    """Return the path with the home folder instead of `~`."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("the home folder cannot be determined; write out the full path") from None
