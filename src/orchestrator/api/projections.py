"""Read models: where each is, and rebuilding one in the background of this process."""

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
async def list_projections(serving: Serving, caller: InstallationViewer) -> Response:  # noqa: ARG001 - it is who asks that matters
    """Return where each read model is: how far behind, in which state, and what its last rebuild came to."""
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
    """Begin to rebuild a read model from the log, beside the live one; `GET /projections` tells how it goes on."""
    core = serving.core
    await core.database.call(serving.rebuilds.start, name, caller.actor)
    standing = await core.database.call(core.read_models.standing, name)
    return Json(standing_view(standing), 202, {"Location": f"{BASE}/projections"})
