"""Files of chain heads: the head, the time of its export, and optionally a signature.

    {"position": 1234, "link": "9f86...", "exportedAt": "2026-01-31T12:00:00.000Z",
     "signature": {"algorithm": "Ed25519", "key": "SHA-256 of the public key, in hex", "value": "base64"}}

The signature covers three lines, so that it can be verified without this program:

    orchestrator chain head
    1234 9f86...
    2026-01-31T12:00:00.000Z

Keys are PEM files as written by `openssl genpkey -algorithm ed25519`. Only this module uses the signature package.
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
    """A file is not a chain head, or its signature is missing, wrong or cannot be verified."""


class BadKey(Exception):
    """A key is invalid or unsuitable, or the signature package is not installed."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature, and the SHA-256 of the public key in hex."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head, the time of its export in RFC 3339, and its signature, if any."""

    head: ChainHead
    exported_at: str
    signature: Signature | None = None

    @property
    def statement(self) -> bytes:
        """The bytes that are signed."""
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
        """Return the key, or only its public part, in PEM format."""
        text: str = (self._public if public else self._key).export_key(format="PEM")
        return text + "\n"

    def sign(self, head: SignedHead) -> SignedHead:
        """Return a head with a signature; raises BadKey if this key is public."""
        if not self._key.has_private():
            raise BadKey("a public key cannot sign; use the private key")
        value: bytes = _package()[1].new(self._key, _MODE).sign(head.statement)
        return SignedHead(head.head, head.exported_at, Signature(self.name, value))

    def check(self, head: SignedHead) -> None:
        """Verify that a head was signed with this key.

        Raises:
            BadHead: the head was not signed with this key, or was changed after it was signed.
        """
        if head.signature is None:
            raise BadHead("the head is not signed, but a key was given to verify it")
        if head.signature.key != self.name:
            raise BadHead(f"the head was signed with the key {head.signature.key}, not with {self.name}")
        try:
            _package()[1].new(self._public, _MODE).verify(head.statement, head.signature.value)
        except ValueError as error:
            raise BadHead("the signature does not match: the head was changed after it was signed") from error


def new_key() -> SigningKey:
    """Return a new private key; raises BadKey if the signature package is not installed."""
    return SigningKey(_package()[0].generate(curve=_ALGORITHM))


def read_key(pem: str) -> SigningKey:
    """Return the key in a PEM file.

    Raises:
        BadKey: the file does not hold an Ed25519 key.
    """
    try:
        key = _package()[0].import_key(pem)
    except (ValueError, IndexError, TypeError) as error:
        raise BadKey(f"not an {_ALGORITHM} key in PEM format ({error})") from error
    if key.curve != _ALGORITHM:
        raise BadKey(f"the key is for {key.curve}; an {_ALGORITHM} key is needed")
    return SigningKey(key)


def head_view(head: SignedHead) -> View:
    """Return the JSON document of a head file."""
    view: View = {"position": head.head.position, "link": head.head.link, "exportedAt": head.exported_at}
    if head.signature is not None:
        view["signature"] = {
            "algorithm": _ALGORITHM,
            "key": head.signature.key,
            "value": base64.b64encode(head.signature.value).decode(),
        }
    return view


def read_head(text: bytes) -> SignedHead:
    """Return the head in a file.

    Raises:
        BadHead: the file is not a chain head.
    """
    try:
        document: dict[str, Any] = orjson.loads(text)
        head = ChainHead(int(document["position"]), str(document["link"]))
        signed = document.get("signature")
        signature = None if signed is None else Signature(str(signed["key"]), base64.b64decode(signed["value"]))
        read = SignedHead(head, str(document["exportedAt"]), signature)
    except (ValueError, KeyError, TypeError) as error:
        raise BadHead(f"not a chain head; write one with `orchestrator audit head` ({error!r})") from error
    if not _LINK.fullmatch(head.link) or head.position < 0:
        raise BadHead("invalid chain head: link must be 64 hex digits, position must be at least 0")
    return read


def _package() -> tuple[Any, Any]:
    try:
        from Crypto.PublicKey import ECC  # noqa: PLC0415 - needs the extra `signing`
        from Crypto.Signature import eddsa  # noqa: PLC0415
    except ImportError as error:
        raise BadKey("signatures need pycryptodome; install it with: pip install 'orchestrator[signing]'") from error
    return ECC, eddsa
