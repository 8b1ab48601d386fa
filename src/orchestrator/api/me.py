"""Who the caller is: a check of one's credentials, the sign-in of browsers, and what a console shows in its corner."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, Field
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.access.identity import Role
from orchestrator.api.answers import Json
from orchestrator.api.caller import Viewer
from orchestrator.api.openapi import answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Serving
from orchestrator.api.session_cookie import clear_cookie, set_cookie
from orchestrator.api.shapes import Shape
from orchestrator.projections.views.values import View, timestamp

router = APIRouter(prefix=BASE, tags=["me"], route_class=Endpoint)


class Me(Shape):
    """The caller, according to its credentials. Without authentication every caller is an admin."""

    tenant: str
    actor: str
    role: Literal["viewer", "operator", "admin"]
    expires_at: AwareDatetime | None
    authentication: Literal["off", "key", "token", "session"] = Field(
        description="How the request was authenticated. `off`: this server has no authentication, ask for no key."
    )
    permissions: list[str] = Field(
        description="The operation ids of the calls that the caller may make.", examples=[["getRun", "triggerRun"]]
    )
    version: str = Field(description="The version of the program.")


async def _permissions(request: Request) -> list[tuple[str, Role, bool]]:
    """Return the operation id of each call with the role that it requires, and whether it concerns all tenants."""
    routes = [route for route in request.scope["app"].routes if isinstance(route, Endpoint) and route.requires]
    return [
        (route.operation_id or "", route.requires.role, route.requires.installation)
        for route in routes
        if route.requires is not None
    ]


Permissions = Annotated[list[tuple[str, Role, bool]], Depends(_permissions)]


@router.get("/me", response_model=Me, responses=answers())
async def get_me(serving: Serving, caller: Viewer, permissions: Permissions) -> Response:
    """Return the caller: its tenant, its name in the log, its role, what it may do, and when its credentials expire."""
    return Json(_me(await serving.calls(caller).me(), permissions, serving.core.settings.tenant))


@router.post(
    "/session",
    status_code=201,
    response_model=Me,
    responses=answers(headers={201: ("Set-Cookie",)}),
)
async def create_session(*, serving: Serving, request: Request, caller: Viewer, permissions: Permissions) -> Response:
    """Sign a browser in with the key or token in `Authorization`: the response sets a cookie that scripts cannot read.

    The session ends after 12 hours, or earlier with its key or token. A server without authentication sets no cookie.
    """
    me = _me(await serving.calls(caller).me(), permissions, serving.core.settings.tenant)
    begun = await serving.authenticator.sign_in(request)
    if begun is None:
        return Json(me, 201)
    session, shown = begun
    me |= {"authentication": "session", "expiresAt": timestamp(session.expires_at)}
    return Json(me, 201, {"Set-Cookie": set_cookie(request, shown, session.expires_at)})


@router.delete(
    "/session",
    status_code=204,
    response_class=Response,
    responses=answers(headers={204: ("Set-Cookie",)}),
)
async def delete_session(*, serving: Serving, request: Request, caller: Viewer) -> Response:  # noqa: ARG001 - the role
    """Sign a browser out: end the session in its cookie, everywhere and immediately, and remove the cookie."""
    await serving.authenticator.sign_out(request)
    return Response(status_code=204, headers={"Set-Cookie": clear_cookie(request)})


def _me(me: View, permissions: list[tuple[str, Role, bool]], installation: str) -> View:
    role = Role.of(me["role"]) or Role.VIEWER
    own = me["tenant"] == installation
    allowed = sorted(name for name, needed, of_all in permissions if needed <= role and (own or not of_all))
    return {**me, "permissions": allowed}
