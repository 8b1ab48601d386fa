"""Who asks. Every endpoint that touches a tenant's data takes an `Asking`."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from orchestrator.api.commands import Caller
from orchestrator.api.services import served


async def caller(request: Request) -> Caller:
    """Return who makes a request: the installation's own tenant, as long as nobody has to show a key."""
    return Caller(tenant=(await served(request)).core.settings.tenant, actor="api")


Asking = Annotated[Caller, Depends(caller)]
