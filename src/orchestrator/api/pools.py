"""Endpoints for pull workers: take attempts of a pool, beat for them, and report their results."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Header, Path
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from starlette.responses import Response, StreamingResponse

from orchestrator.api.answers import Json
from orchestrator.api.caller import Executor
from orchestrator.api.errors import Forbidden
from orchestrator.api.openapi import answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Serving
from orchestrator.api.shapes import Shape
from orchestrator.application.caller import Caller
from orchestrator.application.pools import Pools
from orchestrator.clusters.contract import Record
from orchestrator.clusters.dispatches import Puller
from orchestrator.clusters.forms import work_to_json
from orchestrator.domain.bounds import MAX_PAUSE_MS, MAX_TIMEOUT_MS
from orchestrator.domain.output import Output, StepError
from orchestrator.postgres.unavailable import DatabaseUnavailable

router = APIRouter(prefix=BASE, tags=["pools"], route_class=Endpoint)

MAX_SLOTS = 1000
MAX_WAIT_SECONDS = 30.0
_MAX_LABELS = 64
_MAX_SKILLS = 10_000

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
PoolPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="Name of a pool.")]
AttemptPath = Annotated[str, Path(alias="name", pattern=r"^[0-9a-f]{32}$", description="Name of an attempt.")]
Fence = Annotated[
    str,
    Header(alias="X-Fence", min_length=1, max_length=64, description="The secret that came with the attempt."),
]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class PollBody(_Sent):
    """What a pull worker is and has room for."""

    worker: str = Field(min_length=1, max_length=255, description="Id of the worker, another one for each start.")
    labels: list[Name] = Field(default=[], max_length=_MAX_LABELS)
    skills: list[Annotated[str, Field(pattern=r"^[^\s\x00@]{1,255}@[^\s\x00]{1,255}$")]] = Field(
        max_length=_MAX_SKILLS, description="The skills that it has, each as `id@version`."
    )
    slots: int = Field(ge=0, le=MAX_SLOTS, description="How many attempts it can take; 0 only says that it is there.")
    wait_seconds: float = Field(default=MAX_WAIT_SECONDS, ge=0, le=MAX_WAIT_SECONDS)


class BeatBody(_Sent):
    """A sign of life of an attempt."""

    abandon: bool = Field(default=False, description="Whether the attempt is given up, to be executed elsewhere.")


class OutputBody(_Sent):
    """What a skill returned."""

    data: Any = None


class FailureBody(_Sent):
    """Why an attempt failed."""

    code: str = Field(min_length=1, max_length=255)
    message: str = Field(max_length=10_000)
    details: dict[str, Any] = Field(default={})
    retryable: bool = True
    retry_after_ms: int | None = Field(default=None, ge=0, le=MAX_PAUSE_MS)


class ResultBody(_Sent):
    """What became of an attempt: `output` or `error`."""

    output: OutputBody | None = None
    error: FailureBody | None = None
    duration_ms: float = Field(ge=0, le=MAX_TIMEOUT_MS, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one(self) -> "ResultBody":
        if (self.output is None) == (self.error is None):
            raise ValueError("give either output or error")
        return self

    @property
    def record(self) -> Record:
        """The record."""
        error = self.error
        if error is not None:
            told = StepError(error.code, error.message, error.details, error.retryable, error.retry_after_ms)
            return Record(told, self.duration_ms)
        return Record(Output(None if self.output is None else self.output.data), self.duration_ms)


class Works(Shape):
    """The attempts that a worker has taken. It must beat for each within a lease, and report its result."""

    works: list[dict[str, Any]]
    lease_seconds: float


class BeatReply(Shape):
    """Whether the attempt should stop."""

    cancel: bool


class ResultReply(Shape):
    """The result is recorded."""

    recorded: bool


@router.post("/pools/{pool}/poll", response_model=Works, responses=answers(body=True))
async def poll_pool(serving: Serving, caller: Executor, pool: PoolPath, body: Annotated[PollBody, Body()]) -> Response:
    """Take attempts of a pool. The response begins at once and ends when there is work or the time is over."""
    _require(caller, pool)
    worker = Puller(caller.tenant, pool, body.worker, sorted({*body.labels}), sorted({*body.skills}))
    lease_seconds = serving.core.settings.lease_seconds
    found = _found(serving.pools, worker, body, lease_seconds)
    return StreamingResponse(found, media_type="application/json")


@router.post("/attempts/{name}/beat", response_model=BeatReply, responses=answers(409, body=True))
async def beat_attempt(
    serving: Serving,
    caller: Executor,
    *,
    name: AttemptPath,
    fence: Fence = "",
    body: Annotated[BeatBody, Body()] = BeatBody(),  # noqa: B008 - frozen
) -> Response:
    """Say that an attempt is executing, or abandon it, and learn whether it should stop."""
    return Json({"cancel": await serving.pools.beat(caller, name, fence, abandons=body.abandon)})


@router.put("/attempts/{name}/result", response_model=ResultReply, responses=answers(409, body=True))
async def report_result(
    serving: Serving,
    caller: Executor,
    *,
    name: AttemptPath,
    fence: Fence = "",
    body: Annotated[ResultBody, Body()],
) -> Response:
    """Report what became of an attempt. The same result may be sent again; another one is refused."""
    await serving.pools.record(caller, name, fence, body.record)
    return Json({"recorded": True})


def _require(caller: Caller, pool: str) -> None:
    """Check that an executor asks for its own pool.

    Raises:
        Forbidden: its key is for another pool.
    """
    if caller.role == "executor" and caller.pool != pool:
        raise Forbidden(f"this key is for the pool {caller.pool}, not for {pool}", role=caller.role)


async def _found(pools: Pools, worker: Puller, body: PollBody, lease_seconds: float) -> AsyncIterator[bytes]:
    try:
        works = await pools.poll(worker, body.slots, body.wait_seconds)
    except DatabaseUnavailable:  # the response has begun; the worker polls again
        works = []
    yield orjson.dumps({"works": [work_to_json(work) for work in works], "leaseSeconds": lease_seconds})
