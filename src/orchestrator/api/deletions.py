"""The endpoint that deletes a run for good."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from orchestrator.api.answers import Json
from orchestrator.api.caller import Admin
from orchestrator.api.openapi import NO_RUN, RunId, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Serving
from orchestrator.api.shapes import Shape
from orchestrator.application.deletions import MAX_REASON

router = APIRouter(prefix=f"{BASE}/runs", tags=["runs"], route_class=Endpoint)


class DeletedRun(Shape):
    """A run that was deleted for good.

    `events` is the number of its events. `contentRemoved` counts the objects that were removed from the artifact store,
    and `contentLeft` those that are left for the next `artifacts prune`, because executing attempts may need them.
    """

    run_id: str = Field(json_schema_extra={"format": "uuid"})
    status: Literal["deleted"]
    reason: str
    deleted_by: str
    deleted_at: datetime
    events: int
    content_removed: int
    content_left: int


@router.delete("/{runId}", response_model=DeletedRun, responses=answers(*NO_RUN, 409))
async def delete_run(
    serving: Serving,
    caller: Admin,
    run_id: RunId,
    reason: Annotated[
        str, Query(max_length=MAX_REASON, description="Required: why the run is deleted. It is recorded for good.")
    ] = "",
) -> Response:
    """Delete a finished run for good: its events, results, artifacts and cached results.

    Only a tombstone with the digests of its events stays, and who deleted it, when and why. A run that other runs need
    is not deleted.
    """
    return Json(await serving.calls(caller).delete_run(str(run_id), reason=reason))
