"""Heads of the chain as files: what the log came to, when that was said, and perhaps a signature.

    {"position": 1234, "link": "9f86...", "exportedAt": "2026-01-31T12:00:00.000Z",
     "signature": {"algorithm": "Ed25519", "key": "SHA-256 of the public key, in hex", "value": "base64"}}

What is signed are three lines, so that it can be checked without this program:

    orchestrator chain head
    1234 9f86...
    2026-01-31T12:00:00.000Z

Keys are PEM files as `openssl genpkey -algorithm ed25519` writes them. Only here the package for signatures is used.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator.audit.chain import ChainHead
from orchestrator.projections.views.values import View

_LINK = re.compile(r"[0-9a-f]{64}")
_ALGORITHM, _MODE = "Ed25519", "rfc8032"


class BadHead(Exception):
    """A file is not that of a head, or its signature is missing, wrong or not to be checked."""


class BadKey(Exception):
    """A key cannot be used, or the package for signatures is not installed."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed, by the SHA-256 of the public key in hex, and what came of it."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head, the RFC 3339 time it was exported at, and the signature if there is one."""

    head: ChainHead
    exported_at: str
    signature: Signature | None = None

    @property
    def statement(self) -> bytes:
        """What is signed."""
        return f"orchestrator chain head\n{self.head.position} {self.head.link}\n{self.exported_at}\n".encode()


class SigningKey:
    """An Ed25519 key, private or public."""

    def __init__(self, key: Any) -> None:
        self._key = key

    @property
    def name(self) -> str:
        """The SHA-256 of the public key (DER) in hex."""
        return hashlib.sha256(self._public.export_key(format="DER")).hexdigest()

    @property
    def _public(self) -> Any:
        return self._key.public_key() if self._key.has_private() else self._key

    def pem(self, *, public: bool = False) -> str:
        """Return it, or only its public part, as the text of a PEM file."""
        text: str = (self._public if public else self._key).export_key(format="PEM")
        return text + "\n"

    def sign(self, head: SignedHead) -> SignedHead:
        """Return a head with a signature; raises BadKey when this is only the public part."""
        if not self._key.has_private():
            raise BadKey("a public key cannot sign; give the private one")
        value: bytes = _package()[1].new(self._key, _MODE).sign(head.statement)
        return SignedHead(head.head, head.exported_at, Signature(self.name, value))

    def check(self, head: SignedHead) -> None:
        """Accept a head that was signed with this key.

        Raises:
            BadHead: it was not, or was changed afterwards.
        """
        if head.signature is None:
            raise BadHead("it is not signed, and a key was given to check it with")
        if head.signature.key != self.name:
            raise BadHead(f"it was signed with the key {head.signature.key}, not with {self.name}")
        try:
            _package()[1].new(self._public, _MODE).verify(head.statement, head.signature.value)
        except ValueError as error:
            raise BadHead("its signature does not fit: it was changed after it had been signed") from error


def new_key() -> SigningKey:
    """Return a new private key; raises BadKey without the package."""
    return SigningKey(_package()[0].generate(curve=_ALGORITHM))


def read_key(pem: str) -> SigningKey:
    """Return the key of a PEM file.

    Raises:
        BadKey: it is none, or not an Ed25519 key.
    """
    try:
        key = _package()[0].import_key(pem)
    except (ValueError, IndexError, TypeError) as error:
        raise BadKey(f"it is not an {_ALGORITHM} key in PEM form ({error})") from error
    if key.curve != _ALGORITHM:
        raise BadKey(f"it is a key for {key.curve}; an {_ALGORITHM} key is needed")
    return SigningKey(key)


def head_view(head: SignedHead) -> View:
    """Return a head as its file has it."""
    view: View = {"position": head.head.position, "link": head.head.link, "exportedAt": head.exported_at}
    if head.signature is not None:
        view["signature"] = {
            "algorithm": _ALGORITHM,
            "key": head.signature.key,
            "value": base64.b64encode(head.signature.value).decode(),
        }
    return view


def read_head(text: bytes) -> SignedHead:
    """Return what a file of a head says.

    Raises:
        BadHead: it is none.
    """
    try:
        document: dict[str, Any] = orjson.loads(text)
        head = ChainHead(int(document["position"]), str(document["link"]))
        signed = document.get("signature")
        signature = None if signed is None else Signature(str(signed["key"]), base64.b64decode(signed["value"]))
        read = SignedHead(head, str(document["exportedAt"]), signature)
    except (ValueError, KeyError, TypeError) as error:
        raise BadHead(f"it is not a head as `orchestrator audit head` writes it ({error!r})") from error
    if not _LINK.fullmatch(head.link) or head.position < 0:
        raise BadHead("its link is not 64 digits in hex, or its position is below 0")
    return read


def _package() -> tuple[Any, Any]:
    try:
        from Crypto.PublicKey import ECC  # noqa: PLC0415 - needs the extra `signing`
        from Crypto.Signature import eddsa  # noqa: PLC0415
    except ImportError as error:
        raise BadKey("signatures need the package pycryptodome: pip install 'orchestrator[signing]'") from error
    return ECC, eddsa
