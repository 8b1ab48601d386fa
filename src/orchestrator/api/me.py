"""Who the caller is: a check of one's credentials, and what a console shows in its corner."""

from typing import Literal

from fastapi import APIRouter
from pydantic import AwareDatetime
from starlette.responses import Response

from orchestrator.api.answers import Json
from orchestrator.api.caller import Viewer
from orchestrator.api.openapi import answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Serving
from orchestrator.api.shapes import Shape

router = APIRouter(prefix=f"{BASE}/me", tags=["me"], route_class=Endpoint)


class Me(Shape):
    """The caller, according to its credentials. Without authentication every caller is an admin."""

    tenant: str
    actor: str
    role: Literal["viewer", "operator", "admin"]
    expires_at: AwareDatetime | None


@router.get("", response_model=Me, responses=answers())
async def get_me(serving: Serving, caller: Viewer) -> Response:
    """Return the caller: its tenant, its name in the log, its role, and when its credentials expire."""
    return Json(await serving.calls(caller).me())
