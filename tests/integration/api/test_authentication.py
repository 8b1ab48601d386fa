"""Who is let in: keys, roles, wrong credentials."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import httpx
import pytest

from orchestrator.access.identity import Role
from orchestrator.api.app import Api, create_app
from orchestrator.api.route import Endpoint
from orchestrator.application.core import Core
from tests.integration.api.test_errors import check
from tests.waiting import until
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect
from tests.world.lines import LINE

NOBODY = "018f3c2e-0000-7000-8000-000000000001"


def issue(core: Core, role: Role, tenant: str = "default", expires_at: int | None = None) -> dict[str, str]:
    """Headers with a new key."""
    _, shown = core.keys.create(
        tenant=tenant, name=role.word, role=role, created_by="test", now=0, expires_at=expires_at
    )
    return {"Authorization": f"Bearer {shown}"}


def guarded(core: Core, **settings: Any) -> Api:
    return create_app(replace(core, settings=core.settings.model_copy(update={"auth": ("keys",), **settings})), LIMITS)


@pytest.fixture
async def client(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    await register(core, LINE)
    async with connect(guarded(core)) as client:
        yield client


async def test_who_shows_nothing_is_told_what_to_show(client: httpx.AsyncClient) -> None:
    for answer in (await client.get(RUNS), await client.post(RUNS, content=b"not even JSON")):
        check(answer, 401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"] == 'Bearer realm="orchestrator"'


@pytest.mark.parametrize("shown", ["", "Basic YTpi", "Bearer", "Bearer ", "ork_x", "Bearer " + "x" * 20_000])
async def test_another_form_is_refused(client: httpx.AsyncClient, shown: str) -> None:
    answer = await client.get(RUNS, headers={"Authorization": shown})
    check(answer, 401, "UNAUTHENTICATED")
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]


async def test_two_keys_at_once_are_refused(core: Core, client: httpx.AsyncClient) -> None:
    headers = [("Authorization", issue(core, Role.ADMIN)["Authorization"]) for _ in range(2)]
    check(await client.get(RUNS, headers=headers), 401, "UNAUTHENTICATED")


async def test_wrong_credentials_are_refused_before_anything_else_is_looked_at(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{RUNS}/no-uuid?unknown=1", headers={"Authorization": "Bearer ork_aaaaaaaa_b"})
    check(answer, 401, "UNAUTHENTICATED")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_role_may_do_what_those_below_it_may(core: Core, client: httpx.AsyncClient) -> None:
    reads, runs = f"{RUNS}/{NOBODY}", {"workflowName": "test.line"}
    for role, may_run in ((Role.VIEWER, False), (Role.OPERATOR, True), (Role.ADMIN, True)):
        headers = issue(core, role)
        check(await client.get(reads, headers=headers), 404, "RUN_NOT_FOUND")
        answer = await client.post(RUNS, json=runs, headers=headers)
        if may_run:
            assert answer.status_code == 202
        else:
            said = check(answer, 403, "FORBIDDEN")
            assert "needs the role operator" in said["message"]


async def test_the_log_says_who_it_was(core: Core, client: httpx.AsyncClient) -> None:
    headers = issue(core, Role.OPERATOR)
    run_id = (await client.post(RUNS, json={"workflowName": "test.line"}, headers=headers)).json()["runId"]
    (event,) = (await client.get(f"{RUNS}/{run_id}/events", headers=headers)).json()["events"]
    (key,) = core.keys.list()
    assert event["actor"] == f"operator (key {key.id})"


async def test_a_revoked_key_opens_nothing_any_more(core: Core, client: httpx.AsyncClient) -> None:
    headers = issue(core, Role.VIEWER)
    assert (await client.get(RUNS, headers=headers)).status_code == 200
    core.keys.revoke(core.keys.list()[0].id, 1)
    begun = time.monotonic()

    async def is_refused() -> bool:
        return (await client.get(RUNS, headers=headers)).status_code == 401

    await until(is_refused)
    assert time.monotonic() - begun < 5.0


async def test_an_expired_key_opens_nothing(core: Core, client: httpx.AsyncClient) -> None:
    answer = await client.get(RUNS, headers=issue(core, Role.ADMIN, expires_at=1))
    assert "expired" in check(answer, 401, "UNAUTHENTICATED")["message"]


async def test_figures_of_all_tenants_are_for_the_installations_own(core: Core, client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/health/queues", "/health/queues", "/metrics"):
        assert (await client.get(path, headers=issue(core, Role.VIEWER))).status_code == 200
        check(await client.get(path, headers=issue(core, Role.ADMIN, "other")), 403, "FORBIDDEN")
        check(await client.get(path), 401, "UNAUTHENTICATED")


async def test_probes_need_no_key(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/health/live", "/health/live", "/api/v1/health/ready", "/openapi.json"):
        assert (await client.get(path)).status_code == 200


async def test_who_guesses_has_to_wait(core: Core) -> None:
    wrong = {"Authorization": "Bearer ork_aaaaaaaa_" + "0" * 64}
    async with connect(guarded(core, auth_failures=3)) as client:
        for _ in range(3):
            check(await client.get(RUNS, headers=wrong), 401, "UNAUTHENTICATED")
        for headers in (wrong, issue(core, Role.ADMIN)):  # whatever comes from there now is not looked at
            answer = await client.get(RUNS, headers=headers)
            check(answer, 429, "TOO_MANY_ATTEMPTS")
            assert answer.headers["retry-after"] == "1"
        assert (await client.get("/health/live")).status_code == 200
        right = issue(core, Role.ADMIN)

        async def is_let_in() -> bool:
            return (await client.get(RUNS, headers=right)).status_code == 200

        await until(is_let_in)


async def test_the_document_says_whether_credentials_have_to_be_shown(core: Core) -> None:
    for app, is_open in ((create_app(core, LIMITS), True), (guarded(core), False)):
        for methods in app.openapi()["paths"].values():
            for operation in methods.values():
                assert ({} in operation.get("security", [{}])) == (is_open or "security" not in operation)


async def test_the_document_says_which_role_a_call_needs(core: Core) -> None:
    document = guarded(core).openapi()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    needs = {
        f"{method.upper()} {path.removeprefix('/api/v1')}": operation["security"][0]["bearer"][0]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "security" in operation
    }
    operator = {call for call, role in needs.items() if role == "operator"}
    assert operator == {
        "POST /runs",
        "POST /runs:batch",
        "POST /runs/{runId}/cancel",
        "POST /runs/{runId}/update",
        "POST /runs/{runId}/retry",
        "POST /workflows",
        "POST /workflows/{workflowName}/retire",
        "POST /workflows/{workflowName}/restore",
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            assert ({"401", "403", "429"} <= operation["responses"].keys()) == ("security" in operation)


async def test_a_key_is_told_whose_it_is(core: Core, client: httpx.AsyncClient) -> None:
    headers = issue(core, Role.OPERATOR, tenant="acme", expires_at=4_102_444_800_000)
    answer = await client.get("/api/v1/me", headers=headers)
    assert answer.status_code == 200
    me = answer.json()
    assert me.pop("actor").startswith("operator (key ")
    permissions = me.pop("permissions")
    assert {"getRun", "triggerRun", "cancelRun"} <= set(permissions)
    assert not {"deleteRun", "listProjections", "getQueues"} & set(permissions)  # an admin's, the installation's
    assert me == {
        "tenant": "acme",
        "role": "operator",
        "expiresAt": "2100-01-01T00:00:00.000Z",
        "authentication": "key",
        "version": version("orchestrator"),
    }
    check(await client.get("/api/v1/me"), 401, "UNAUTHENTICATED")


async def test_without_authentication_everybody_is_the_admin_of_the_installation(app: Api) -> None:
    async with connect(app) as client:
        me = (await client.get("/api/v1/me")).json()
    called = {route.operation_id for route in app.routes if isinstance(route, Endpoint) and route.requires}
    assert set(me.pop("permissions")) == called
    assert me == {
        "tenant": "default",
        "actor": "api",
        "role": "admin",
        "expiresAt": None,
        "authentication": "off",
        "version": version("orchestrator"),
    }
