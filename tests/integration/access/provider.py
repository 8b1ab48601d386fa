"""An identity provider: an HTTP server on loopback that shows its keys, and tokens signed with them."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://id.example"
AUDIENCE = "orchestrator"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk(name: str | None, key: PrivateKey, **more: Any) -> dict[str, Any]:
    """The public half, as a key set has it."""
    match key:
        case rsa.RSAPrivateKey():
            public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case ec.EllipticCurvePrivateKey():
            public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case _:
            public = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, **({} if name is None else {"kid": name}), "use": "sig", **more}


class Provider:
    """Serves a key set; `answer` replaces it by (status, body). `asked` counts the requests; `hold` delays answers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: list[dict[str, Any]] = []
        self.answer: tuple[int, bytes] | None = None
        self.asked = 0
        self.hold = threading.Event()
        self.hold.set()

    def body(self) -> tuple[int, bytes]:
        self.asked += 1
        self.hold.wait(60)
        return self.answer or (200, json.dumps({"keys": self.keys}).encode())


@contextmanager
def provider() -> Iterator[Provider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = found.body()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Provider(f"http://127.0.0.1:{server.server_address[1]}/keys")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        found.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


def token(key: Any, kid: str | None = "first", algorithm: str = "RS256", **claims: Any) -> str:
    """A token that is right but for the claims given; None leaves one out."""
    now = time.time()
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600, "tenant": "acme", "roles": ["operator"]}
    said = {name: value for name, value in {**said, **claims}.items() if value is not None}
    return jwt.encode(said, key, algorithm=algorithm, headers=None if kid is None else {"kid": kid})
