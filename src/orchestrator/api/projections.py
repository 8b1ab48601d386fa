"""Endpoints for read models: return their state, and rebuild one in the background of this process."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from orchestrator.api import shapes
from orchestrator.api.answers import Json
from orchestrator.api.caller import InstallationAdmin, InstallationViewer
from orchestrator.api.openapi import answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Serving
from orchestrator.projections.rebuild.standing_views import standing_view

router = APIRouter(prefix=f"{BASE}/projections", tags=["projections"], route_class=Endpoint)


@router.get("", response_model=shapes.ProjectionList, responses=answers())
async def list_projections(serving: Serving, caller: InstallationViewer) -> Response:  # noqa: ARG001 - only for authorization
    """Return the state of each read model: its position, its lag, and the outcome of its last rebuild."""
    standings = await serving.shared.call(serving.core.read_models.standings)
    return Json({"projections": [standing_view(standing) for standing in standings]})


@router.post(
    "/{name}/rebuild",
    status_code=202,
    response_model=shapes.Projection,
    responses=answers(404, 409, headers={202: ("Location",)}),
)
async def rebuild_projection(
    serving: Serving, caller: InstallationAdmin, name: Annotated[str, Path(alias="name", max_length=255)]
) -> Response:
    """Start rebuilding a read model from the log. The live one serves reads until the new one replaces it.

    `GET /projections` returns the progress.
    """
    core = serving.core
    await core.database.call(serving.rebuilds.start, name, caller.actor)
    standing = await core.database.call(core.read_models.standing, name)
    return Json(standing_view(standing), 202, {"Location": f"{BASE}/projections"})
