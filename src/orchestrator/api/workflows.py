"""Endpoints for workflows: register, list, get, retire and restore."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Body, Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api import shapes
from orchestrator.api.answers import Json, is_match, rendered, revalidated
from orchestrator.api.body import media_type, read_body, wrong_media_type
from orchestrator.api.caller import Operator, Viewer
from orchestrator.api.models import RestoreBody, RetireBody
from orchestrator.api.openapi import NOT_MODIFIED, IfNoneMatch, answers
from orchestrator.api.route import Endpoint
from orchestrator.api.runs import BASE
from orchestrator.api.services import Serving
from orchestrator.domain.errors import Fault, InvalidWorkflow
from orchestrator.domain.workflow import Workflow
from orchestrator.workflows.document import load_text
from orchestrator.workflows.validate import warnings

router = APIRouter(prefix=f"{BASE}/workflows", tags=["workflows"], route_class=Endpoint)

_JSON = ("application/json",)
# Client generators do not support YAML, but they support files. A file is parsed as YAML, which includes JSON.
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "application/octet-stream")
_DEFINITION = {
    "requestBody": {
        "description": "The definition, as JSON or as a YAML file. `application/yaml` is accepted too.",
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["workflowName", "version", "steps"],
                    "properties": {
                        "workflowName": {"type": "string", "maxLength": 255},
                        "version": {"type": "string"},
                        "description": {"type": "string"},
                        "steps": {"type": "array", "items": {"type": "object"}},
                        "changeTypes": {"type": "object"},
                        "payloadSchema": {"type": "object"},
                        "maxParallelSteps": {"type": "integer", "minimum": 1},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
Version = Annotated[
    str | None,
    Query(min_length=1, max_length=255, description="Version of the workflow. By default, the one registered last."),
]

Name = Annotated[str, Path(alias="workflowName", max_length=255)]
Retired = Annotated[bool, Query(description="Whether to list workflows whose versions are all retired, too.")]


@dataclass(frozen=True, slots=True)
class Definition:
    """The body of a registration request."""

    body: bytes
    is_yaml: bool


async def _receive(request: Request) -> Definition:
    given = media_type(request)
    if given not in _JSON and given not in _YAML:
        raise wrong_media_type("application/json, application/yaml or application/octet-stream", given)
    return Definition(await read_body(request), given in _YAML)


Given = Annotated[Definition, Depends(_receive)]


@router.post(
    "",
    status_code=201,
    response_model=shapes.RegisteredWorkflow,
    responses={
        **answers(409, body=True, headers={201: ("Location", "X-Log-Position")}),
        200: {
            "model": shapes.RegisteredWorkflow,
            "description": "The version was already registered with the same content.",
            **answers(headers={200: ("Location", "X-Log-Position")})[200],
        },
    },
    openapi_extra=_DEFINITION,
)
async def register_workflow(serving: Serving, caller: Operator, given: Given) -> Response:
    """Register a version of a workflow, as JSON or YAML. A registered version never changes."""
    core = serving.core
    # In a thread, because a definition with a thousand steps would block the event loop for too long.
    known = core.local_workers.skills
    workflow, found = await serving.registrations.run(
        caller.tenant, _read, given.body, given.is_yaml, core.settings.max_attempts_bound, known
    )
    new = await core.workflows.register(workflow, tenant=caller.tenant, actor=caller.actor)
    position = await core.database.call(core.log.last_position)
    return Json(
        {
            "workflowName": workflow.name,
            "version": workflow.version,
            "digest": workflow.digest,
            "stepCount": len(workflow.steps),
            "warnings": [{"path": warning.path, "message": warning.message} for warning in found],
        },
        201 if new else 200,
        {
            "Location": f"{BASE}/workflows/{workflow.name}?version={quote(workflow.version, safe='')}",
            "X-Log-Position": str(position),
        },
    )


def _read(body: bytes, is_yaml: bool, max_attempts_bound: int, known: Set[str] | None) -> tuple[Workflow, list[Fault]]:
    """Return the workflow that a body defines, and warnings about it.

    Raises:
        InvalidWorkflow: the definition is invalid; the error lists every fault with its path.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidWorkflow([Fault("body", f"is not UTF-8 text: {error.reason} at byte {error.start}")]) from error
    workflow = load_text(text, is_yaml=is_yaml, max_attempts_bound=max_attempts_bound)
    _ = workflow.digest  # computed here, in the thread, and cached
    return workflow, warnings(workflow, known)


@router.get("", response_model=shapes.WorkflowList, responses=answers())
async def list_workflows(serving: Serving, caller: Viewer, retired: Retired = False) -> Response:
    """Return the latest version of every workflow, sorted by name. Versions that take runs come before retired ones."""
    return Json(await rendered({"workflows": await serving.calls(caller).workflows(retired=retired)}))


@router.post("/{workflowName}/retire", response_model=shapes.ChangedVersions, responses=answers(404, 409, body=True))
async def retire_workflow(
    serving: Serving, caller: Operator, name: Name, body: Annotated[RetireBody, Body()]
) -> Response:
    """Retire versions of a workflow: they take no new runs. Runs that were triggered before go on.

    Returns the versions that took runs until now; retiring a version again changes nothing.
    """
    return Json(await serving.calls(caller).retire_workflow(name, version=body.version, reason=body.reason))


@router.post("/{workflowName}/restore", response_model=shapes.ChangedVersions, responses=answers(404, 409, body=True))
async def restore_workflow(
    serving: Serving, caller: Operator, name: Name, body: Annotated[RestoreBody, Body()]
) -> Response:
    """Let retired versions of a workflow take runs again. Returns the versions that were retired."""
    return Json(await serving.calls(caller).restore_workflow(name, version=body.version))


@router.get("/{workflowName}", response_model=shapes.WorkflowView, responses={**answers(404), **NOT_MODIFIED})
async def get_workflow(
    serving: Serving,
    caller: Viewer,
    name: Name,
    version: Version = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return a workflow definition: steps, policies, change types, and the names of the newest 1,000 versions."""
    return revalidated(await serving.calls(caller).workflow(name, version), if_none_match)


@router.get("/{workflowName}/graph", response_model=shapes.WorkflowGraph, responses={**answers(404), **NOT_MODIFIED})
async def get_workflow_graph(
    serving: Serving,
    caller: Viewer,
    name: Name,
    version: Version = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return the steps of a workflow with their levels, and the edges between them. The ETag is that of the digest."""
    graph = await serving.calls(caller).workflow_graph(name, version)
    tag = f'W/"{graph["digest"]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
    if is_match(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    return Json(await rendered(graph), headers=headers)
