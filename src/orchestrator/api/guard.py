"""The guard: gives every request a deadline and a body limit, and turns every error into a response.

Pure ASGI middleware: it creates one object per request and no task.
"""

import asyncio
import logging
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.access.identity import Identity
from orchestrator.api.answers import Json
from orchestrator.api.authentication import IDENTITY
from orchestrator.api.errors import READ_ONLY, BodyTooLarge, BodyTooSlow, answer_to, unforeseen
from orchestrator.api.incoming import IncomingBodies
from orchestrator.application.errors import DeadlineExceeded
from orchestrator.postgres.unavailable import DatabaseUnavailable

logger = logging.getLogger(__name__)

_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Middleware. The deadline, in seconds, applies until the response starts; a stream may then last forever.

    `obstacle` returns the error because of which writes wait, for the message of a request that missed its deadline.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        deadline: float,
        body_bytes: int,
        bodies: IncomingBodies,
        obstacle: Callable[[], DatabaseUnavailable | None] = lambda: None,
    ) -> None:
        self._app = app
        self._bodies = bodies
        self._deadline = deadline
        self._body_bytes = body_bytes
        self._obstacle = obstacle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._body_bytes, self._bodies)
        try:
            async with asyncio.timeout(self._deadline) as exchange.deadline:
                if scope["method"] not in _WITHOUT_BODY:
                    exchange.expect_body(scope)
                    receive = exchange.receive
                await self._app(scope, receive, exchange.send)
        except ClientDisconnect:
            pass  # the client has gone
        except asyncio.CancelledError:
            if exchange.started:
                raise
            # The server is stopping and no longer waits for open requests.
            error = DeadlineExceeded("the server is stopping; the request may still take effect")
            await self._answer(scope, exchange, error)(scope, receive, send)
        except Exception as error:
            answer = self._answer(scope, exchange, error)
            if exchange.started:
                # This makes the server close the connection, so the client knows that the response is incomplete.
                raise ConnectionError("the response was interrupted") from error
            await answer(scope, receive, send)
        finally:
            if exchange.arriving:
                self._bodies.end(exchange)

    def _answer(self, scope: Scope, exchange: "_Exchange", error: Exception) -> Json:
        """Return the response to a failed request."""
        if isinstance(error, TimeoutError) and exchange.deadline.expired():
            if exchange.aborted:
                error = BodyTooSlow("the body arrived too slowly while the server was busy; send the request again")
            elif exchange.arriving:  # the body is read only after authentication
                error = BodyTooSlow(f"the body did not arrive within {self._deadline:g} s")
            else:
                obstacle = self._obstacle()
                why = f": {READ_ONLY}" if obstacle is not None and obstacle.read_only else ""
                late = f"no answer within {self._deadline:g} s{why}; the request may still take effect"
                error = DeadlineExceeded(late)
        if isinstance(error, HTTPException) and error.status_code == 405:
            allowed = _allowed(scope)
            message = f"{scope['method']} is not allowed for this path; allowed: {allowed}"
            error = HTTPException(405, message, {"Allow": allowed})
        answer = answer_to(error)
        if answer is None:
            logger.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            return unforeseen()
        return answer


class _Exchange:
    """The state of one request and its response."""

    __slots__ = (
        "_bodies",
        "_left",
        "_receive",
        "_scope",
        "_send",
        "aborted",
        "arrived",
        "arriving",
        "body_pending",
        "deadline",
        "started",
        "tenant",
    )

    deadline: asyncio.Timeout

    def __init__(self, scope: Scope, receive: Receive, send: Send, body_bytes: int, bodies: IncomingBodies) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._left = body_bytes
        self._bodies = bodies
        self.tenant = ""
        self.arrived = 0
        self.arriving = False
        self.aborted = False
        self.body_pending = False
        self.started = False

    def expect_body(self, scope: Scope) -> None:
        """Reject a body whose Content-Length is too large."""
        self.body_pending = True
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._left:
                raise BodyTooLarge(f"the body has {int(value):,} bytes; {self._left:,} are allowed", limit=self._left)

    def abort(self) -> None:
        """Stop receiving the body, because it arrives too slowly."""
        self.aborted = True
        self.arriving = False
        if not self.deadline.expired():
            self.deadline.reschedule(0.0)

    async def receive(self) -> Message:
        if self.body_pending and not self.arriving:
            # Only now: an unauthorized request is refused before its body is read.
            self.arriving = True
            identity: Identity | None = self._scope.get(IDENTITY)
            self.tenant = "" if identity is None else identity.tenant
            self._bodies.begin(self)
        message = await self._receive()
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            if size > self._left:
                raise BodyTooLarge("the body is too large")
            self._left -= size
            self.body_pending = message.get("more_body", False)
            if self.body_pending:
                self._bodies.grow(self, size)
            elif self.arriving:
                self.arriving = False
                self._bodies.end(self)
        return message

    async def send(self, message: Message) -> None:
        if not self.started:
            if self.deadline.expired():  # the request is being cancelled: too late for this answer
                raise asyncio.CancelledError
            self.started = True
            self.deadline.reschedule(None)
        await self._send(message)


def _allowed(scope: Scope) -> str:
    """Return all methods that routes have for the path of a request."""
    methods: set[str] = set()
    for route in scope["app"].routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(methods))
