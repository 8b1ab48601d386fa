"""HTTP skills: services that receive `{input, context}` or bytes, and respond with `{data, artifacts}` or bytes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.exact import check_numbers
from orchestrator.domain.output import Artifact
from orchestrator.skills import bodies
from orchestrator.skills.bodies import MAX_BYTES, ArtifactBody
from orchestrator.skills.connections import open_client
from orchestrator.skills.context import StepContext
from orchestrator.skills.endpoint import headers_fault, url_fault
from orchestrator.skills.errors import (
    SKILL_EXECUTION_FAILED,
    SKILL_INPUT_INVALID,
    SKILL_OUTPUT_INVALID,
    SKILL_TIMEOUT,
    SkillError,
)
from orchestrator.skills.excerpts import beginning, start_of
from orchestrator.skills.placeholders import fill, has_secrets
from orchestrator.skills.shape import ShapeMismatch, Typed, plain
from orchestrator.skills.skill import SkillKind, invalid_output

if TYPE_CHECKING:
    import httpx

RETRYABLE_STATUSES = frozenset({408, 425, 429})
MAX_RETRY_AFTER_MS = 24 * 3600 * 1000

_BODY_SHOWN_BYTES = 2048
_TEXTS = frozenset({"text/plain", "text/html"})  # the types that frameworks give to JSON text by default


class _Registered(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    uri: str
    type: str
    content_hash: str = ""
    size_bytes: int = -1
    filename: str | None = None
    metadata: dict[str, Any] | None = None


class _Answer(BaseModel):
    data: Any
    artifacts: list[_Registered] = []


_ANSWER = Typed(_Answer)


@dataclass(frozen=True, slots=True)
class HttpSkill:
    """A service as a skill.

    Each call sends `POST url` with the body `{input, context: {runId, stepId, attempt, tenant, idempotencyKey}}`, the
    header `Idempotency-Key` and, within a trace, the header `traceparent`. A 2xx response contains `{data, artifacts:
    [{uri, type, contentHash?, sizeBytes?, filename?, metadata?}]}`, or bytes of another media type than JSON, which
    become an artifact. Redirects are not followed. Cookies are not kept.

    In the values of `headers` and in the query of `url`, `${secret:NAME}` means the value of a secret. In the
    query it is URL-encoded.

    Attributes:
        headers: the headers sent with every request.
        connect_timeout_ms: milliseconds to wait for the connection; the response may take as long as the attempt.
        max_response_bytes: a longer JSON response is an invalid output.
        body: the artifact of the input to send in place of the JSON, or None.
        max_bytes: a longer response that is not JSON is an invalid output.
    """

    id: str
    url: str
    version: str = "1"
    headers: Mapping[str, str] = field(default_factory=dict)
    connect_timeout_ms: int = 10_000
    max_response_bytes: int = 16 << 20
    body: ArtifactBody | None = None
    max_bytes: int = MAX_BYTES
    kind: SkillKind = field(default="http", init=False)
    blocking: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if why := url_fault(self.url):
            raise ValueError(f"the url of {self.id} {why}")
        if why := headers_fault(self.headers):
            raise ValueError(f"the headers of {self.id}: {why}")

    @property
    def secret_fields(self) -> Mapping[str, str]:
        """The texts that may contain placeholders for secrets, by the name of their field."""
        return {"url": self.url, **{f"headers.{name}": value for name, value in self.headers.items()}}

    def fill(self, get: Callable[[str], str]) -> tuple[str, dict[str, str]]:
        """Return the url and the headers with the values of secrets, which `get` returns.

        Raises:
            SkillError: SKILL_EXECUTION_FAILED when a value cannot be sent.
        """
        url = fill(self.url, lambda name: quote(get(name), safe=""))
        headers = {name: fill(value, get) for name, value in self.headers.items()}
        if why := headers_fault(headers):
            message = f"the headers of {self.id} cannot be sent with their secrets: {why}"
            raise SkillError(SKILL_EXECUTION_FAILED, message, retryable=False)
        return url, headers

    def prepare(self, document: Any) -> bytes | Artifact:
        """Return the input as JSON text, or the artifact to send; raise SkillError(SKILL_INPUT_INVALID) otherwise."""
        if self.body is not None:
            return self.body.picked(document)
        try:
            return orjson.dumps(document)
        except TypeError as error:
            raise SkillError(SKILL_INPUT_INVALID, f"the input of {self.id} is not JSON: {error}") from error

    async def call(self, prepared: bytes | Artifact, ctx: StepContext) -> Any:
        """Call the service, register the artifacts in its response, and return its data.

        Raises:
            SkillError: SKILL_TIMEOUT when the service does not respond in time; SKILL_EXECUTION_FAILED for a failed
                connection (retryable) and for a status other than 2xx (retryable for 5xx, 408, 425 and 429);
                SKILL_OUTPUT_INVALID for a response of another form; SECRET_NOT_FOUND when there is a placeholder for
                a secret that no source has.
        """
        status, headers, body = await self._post(prepared, ctx)
        if isinstance(body, Path):
            return await bodies.stored(body, headers, ctx)
        if not 200 <= status < 300:
            raise self._refused(status, headers, body)
        answer = self._answer(status, body)
        for item in answer.artifacts:
            ctx.register_uri(
                item.uri,
                item.type,
                content_hash=item.content_hash,
                size_bytes=item.size_bytes,
                filename=item.filename,
                metadata=item.metadata,
            )
        return answer.data

    def finish(self, result: Any) -> Any:
        """Return the data as plain JSON.

        Raises:
            SkillError: SKILL_OUTPUT_INVALID when the data has no canonical form, such as an integer beyond 2**53.
        """
        try:
            return plain(result)
        except InputNotCanonical as error:
            raise invalid_output(self.id, error) from error

    async def _post(self, prepared: bytes | Artifact, ctx: StepContext) -> "tuple[int, httpx.Headers, bytes | Path]":
        import httpx  # noqa: PLC0415 - slow to import, and not every worker has HTTP skills

        content, described = await self._request(prepared, ctx)
        url, own = self.url, self.headers
        if has_secrets(self.secret_fields):
            url, own = await asyncio.to_thread(self.fill, ctx.secret)
        headers = {
            **own,
            **described,
            "Idempotency-Key": ctx.idempotency_key,
            **({} if ctx.trace is None else {"traceparent": ctx.trace}),
        }
        timeout = httpx.Timeout(None, connect=self.connect_timeout_ms / 1000)
        try:
            async with (
                open_client(ctx.tenant) as client,
                client.stream("POST", url, content=content, headers=headers, timeout=timeout) as response,
            ):
                return response.status_code, response.headers, await self._response(response, ctx)
        except httpx.TimeoutException as error:
            raise SkillError(SKILL_TIMEOUT, f"{self.url} did not respond in time: {error}") from error
        except httpx.HTTPError as error:
            raise SkillError(
                SKILL_EXECUTION_FAILED, f"{self.url} cannot be reached: {type(error).__name__}: {error}"
            ) from error

    async def _request(
        self, prepared: bytes | Artifact, ctx: StepContext
    ) -> tuple[bytes | AsyncIterator[bytes], Mapping[str, str]]:
        """Return the body of the request and the headers that describe it."""
        if isinstance(prepared, Artifact):
            source = await asyncio.to_thread(ctx.open_artifact, prepared)
            return bodies.sent(source), bodies.described(
                prepared, ctx, None if self.body is None else self.body.content_type
            )
        context = {
            "runId": ctx.run_id,
            "stepId": ctx.step_id,
            "attempt": ctx.attempt,
            "tenant": ctx.tenant,
            "idempotencyKey": ctx.idempotency_key,
        }
        content = orjson.dumps({"input": orjson.Fragment(prepared), "context": context})
        return content, {"Content-Type": "application/json"}

    async def _response(self, response: "httpx.Response", ctx: StepContext) -> bytes | Path:
        """Return the body of a response, as a file of the workspace if it is to become an artifact."""
        kind = bodies.media_type(response.headers)
        if not response.is_success or response.status_code == 204 or bodies.is_json(kind):
            return await self._body(response)
        path = await bodies.received(response, ctx, self.url, self.max_bytes)
        return await asyncio.to_thread(_answer_in_text, path, self.max_response_bytes) if kind in _TEXTS else path

    async def _body(self, response: "httpx.Response") -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self.max_response_bytes:
                raise SkillError(
                    SKILL_OUTPUT_INVALID,
                    f"the response of {self.url} is longer than {self.max_response_bytes} bytes",
                )
        return bytes(body)

    def _answer(self, status: int, body: bytes) -> _Answer:
        if status == 204:
            return _Answer(data={})
        try:
            document = orjson.loads(body)
            check_numbers(body)
            answer: _Answer = _ANSWER.load(document)
        except (ShapeMismatch, InputNotCanonical) as error:
            raise invalid_output(self.id, error) from error
        except orjson.JSONDecodeError as error:
            raise SkillError(
                SKILL_OUTPUT_INVALID,
                f"the response of {self.url} is not JSON: {error}; it begins with {beginning(body)!r}",
                details={"body": _shown(body)},
            ) from error
        return answer

    def _refused(self, status: int, headers: "httpx.Headers", body: bytes) -> SkillError:
        retryable = status >= 500 or status in RETRYABLE_STATUSES
        reason = beginning(body)
        return SkillError(
            SKILL_EXECUTION_FAILED,
            f"{self.url} responded with status {status}" + (f": {reason}" if reason else ""),
            retryable=retryable,
            details={"status": status, "body": _shown(body)},
            retry_after_ms=retry_after_ms(headers.get("retry-after")) if retryable else None,
        )


def retry_after_ms(value: str | None, now: datetime | None = None) -> int | None:
    """Return the delay of a Retry-After header (RFC 9110, 10.2.3: seconds or a date) in milliseconds.

    The delay is at most 24 hours. Return None if there is no such header, or it cannot be parsed.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        seconds = float(text[:12])
    else:
        try:
            due = parsedate_to_datetime(text)
        except ValueError:
            return None
        due = due if due.tzinfo else due.replace(tzinfo=UTC)
        seconds = (due - (now or datetime.now(UTC))).total_seconds()
    return min(MAX_RETRY_AFTER_MS, max(0, round(seconds * 1000)))


def _answer_in_text(path: Path, max_bytes: int) -> bytes | Path:
    """Return the text of an answer that a service sent as JSON under the media type of a text; otherwise the path."""
    if path.stat().st_size > max_bytes:
        return path
    body = path.read_bytes()
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return path
    return body if isinstance(document, dict) and "data" in document else path


def _shown(body: bytes) -> str:
    return start_of(body, _BODY_SHOWN_BYTES)
