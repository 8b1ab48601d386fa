"""The caller of an endpoint and the role that the endpoint requires, declared as the type of a parameter.

    Executor              an executor of the tenant: takes and reports the attempts of its pool
    Viewer                a viewer of the tenant: reads
    Operator              an operator of the tenant: triggers, changes and cancels runs, registers workflows
    Admin                 an admin of the tenant: deletes runs
    InstallationViewer    a viewer of the installation's own tenant: reads metrics, queues and read models
    InstallationAdmin     an admin of the installation's own tenant: changes that affect all tenants

The OpenAPI document includes the role. An endpoint without such a parameter is public; only health probes are.
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
    """A dependency that requires a role and, for calls that concern all tenants, the installation's own tenant."""

    scheme_name = "bearer"
    model = HTTPBearer(
        description="An API key (`orchestrator keys create`), or a token from the identity provider. Each operation "
        "names the role that it requires: executor, viewer, operator or admin."
    )

    def __init__(self, role: Role, *, installation: bool = False) -> None:
        self.role = role
        self.installation = installation

    async def __call__(self, request: Request) -> Caller:
        """Authenticate a request and return its caller.

        Raises:
            Unauthenticated, Forbidden, TooManyAttempts: see `Authenticator.authenticate`.
        """
        authenticator = (await served(request)).authenticator
        identity = await authenticator.authenticate(request, self.role, installation=self.installation)
        kind = authenticator.kind(request)
        return Caller(identity.tenant, identity.actor, identity.role.word, identity.expires_at, kind, identity.pool)


Executor = Annotated[Caller, Security(Requires(Role.EXECUTOR), scopes=[Role.EXECUTOR.word])]
Viewer = Annotated[Caller, Security(Requires(Role.VIEWER), scopes=[Role.VIEWER.word])]
Operator = Annotated[Caller, Security(Requires(Role.OPERATOR), scopes=[Role.OPERATOR.word])]
Admin = Annotated[Caller, Security(Requires(Role.ADMIN), scopes=[Role.ADMIN.word])]
InstallationViewer = Annotated[Caller, Security(Requires(Role.VIEWER, installation=True), scopes=[Role.VIEWER.word])]
InstallationAdmin = Annotated[Caller, Security(Requires(Role.ADMIN, installation=True), scopes=[Role.ADMIN.word])]
