"""Who asks, and what they have to be. An endpoint says it with the type of a parameter.

    Viewer        a viewer of the tenant: reads
    Operator     an operator: triggers, changes, cancels, registers
    InstallationViewer    a viewer of the installation's own tenant: figures about all tenants
    InstallationAdmin     an admin of the installation's own tenant: what reaches all tenants

The OpenAPI document shows the role. An endpoint without such a parameter is for everybody: health, nothing else.
"""

from typing import Annotated

from fastapi import Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from orchestrator.access.identity import Role
from orchestrator.api.services import served
from orchestrator.application.caller import Caller


class Requires(SecurityBase):
    """Lets in who has a role; of the installation's own tenant only, when the call is about all tenants."""

    scheme_name = "bearer"
    model = HTTPBearer(
        description="An API key (`orchestrator keys create`), or a token of the identity provider. What an operation "
        "needs is the role that it names: viewer, operator or admin."
    )

    def __init__(self, role: Role, *, installation: bool = False) -> None:
        self.role = role
        self.installation = installation

    async def __call__(self, request: Request) -> Caller:
        """Return who makes a request.

        Raises:
            Unauthenticated, Forbidden, TooManyAttempts: see `Authenticator.authenticate`.
        """
        authenticator = (await served(request)).authenticator
        identity = await authenticator.authenticate(request, self.role, installation=self.installation)
        return Caller(identity.tenant, identity.actor, identity.role.word, identity.expires_at)


Viewer = Annotated[Caller, Security(Requires(Role.VIEWER), scopes=[Role.VIEWER.word])]
Operator = Annotated[Caller, Security(Requires(Role.OPERATOR), scopes=[Role.OPERATOR.word])]
InstallationViewer = Annotated[Caller, Security(Requires(Role.VIEWER, installation=True), scopes=[Role.VIEWER.word])]
InstallationAdmin = Annotated[Caller, Security(Requires(Role.ADMIN, installation=True), scopes=[Role.ADMIN.word])]
