"""The service that the pipeline calls, in place of a real one: `python examples/documents/service.py`.

It checks the key, answers each request that it has answered before in the same way, and is busy now and then.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

PORT = 8765
WORDS = {"de": "Kurz gesagt", "fr": "En bref", "es": "En resumen"}


def summarize(given: dict[str, Any]) -> dict[str, Any]:
    """Return the first sentence of each section."""
    return {"summaries": {each["heading"]: each["text"].split(". ")[0].strip()[:200] for each in given["sections"]}}


def translate(given: dict[str, Any]) -> dict[str, Any]:
    """Return each summary with a word of the language in front of it."""
    word = WORDS[given["language"]]
    return {"summaries": {heading: f"{word}: {text}" for heading, text in given["summaries"].items()}}


def publish(given: dict[str, Any]) -> dict[str, Any]:
    """Return where the bundle would be published."""
    return {"url": f"https://publications.example/{given['contentHash'][:12]}"}


class Handler(BaseHTTPRequestHandler):
    """Answers `POST /summarize`, `/translate` and `/publish`."""

    calls: ClassVar = {"/summarize": summarize, "/translate": translate, "/publish": publish}
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Check the key, then answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {os.environ['DOCUMENTS_KEY']}":
            self._answer(401, {"error": "this key may not use the service"})
        elif self.path == "/translate" and body["context"]["attempt"] == 1 and os.environ.get("DOCUMENTS_BUSY"):
            self._answer(503, {"error": "the translation model is loading"})
        else:
            self._answer(200, {"data": self.calls[self.path](body["input"])})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002 - the name of the base class
        """Log nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else PORT), Handler)
    print(f"serving on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
