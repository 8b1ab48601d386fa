"""Heads that were signed convict whoever changes them; openssl says the same."""

from dataclasses import replace

import orjson
import pytest

from orchestrator.audit.chain import ChainHead
from orchestrator.audit.heads import BadHead, BadKey, SignedHead, head_view, new_key, read_head, read_key

HEAD = SignedHead(ChainHead(1234, "9f" * 32), "2026-01-31T12:00:00.000Z")


def test_a_head_comes_back_from_its_file() -> None:
    signed = new_key().sign(HEAD)
    assert read_head(orjson.dumps(head_view(HEAD))) == HEAD
    assert read_head(orjson.dumps(head_view(signed))) == signed


def test_only_what_was_signed_passes() -> None:
    key = new_key()
    signed, public = key.sign(HEAD), read_key(key.pem(public=True))
    public.check(signed)
    read_key(key.pem()).check(signed)
    with pytest.raises(BadHead, match="changed after"):
        public.check(replace(signed, head=ChainHead(1235, "9f" * 32)))
    with pytest.raises(BadHead, match="changed after"):
        public.check(replace(signed, exported_at="2026-01-31T12:00:01.000Z"))
    with pytest.raises(BadHead, match="not signed"):
        public.check(HEAD)
    with pytest.raises(BadHead, match="signed with the key"):
        new_key().check(signed)


def test_keys_that_cannot_be_used() -> None:
    with pytest.raises(BadKey, match="public key cannot sign"):
        read_key(new_key().pem(public=True)).sign(HEAD)
    for text in ("", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(BadKey, match="PEM"):
            read_key(text)
    from Crypto.PublicKey import ECC

    with pytest.raises(BadKey, match="Ed25519 key is needed"):
        read_key(ECC.generate(curve="p256").export_key(format="PEM"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"position": 1, "link": "9f", "exportedAt": "x"}',
        b'{"position": -1, "link": "' + b"9f" * 32 + b'", "exportedAt": "x"}',
        b'{"position": 1, "link": "' + b"9f" * 32 + b'", "exportedAt": "x", "signature": 1}',
    ],
)
def test_files_that_are_no_heads(text: bytes) -> None:
    with pytest.raises(BadHead):
        read_head(text)


def test_openssl_says_the_same() -> None:
    """The key is of `openssl genpkey`, its name of `sha256sum`, the signature of `openssl pkeyutl -sign -rawin`."""
    key = read_key(
        "-----BEGIN PRIVATE KEY-----\n"
        "MC4CAQAwBQYDK2VwBCIEIHWN/7YwuNv2TF9RJsphIgUWNvlmJZYqJ++z4yZhfz4L\n"
        "-----END PRIVATE KEY-----\n"
    )
    assert key.pem(public=True).splitlines()[1] == "MCowBQYDK2VwAyEA2Pv91wilOU5uADUdfl86lZyhJCVsNxHkDb9/uE0KLcA="
    assert key.name == "8b61dad6f6014b04e34adacaab4a2d86594a6476840476d4a0660737fd6c6b40"
    assert head_view(key.sign(HEAD))["signature"]["value"] == (
        "kCBk+NlTlWu/p1He4inxbCw0ZavyzTJ24UOw0e1DTK5kplHepwn+6a0+RIzUPJtMm8mCRbgUxv9TEgEMJCfIAQ=="
    )
