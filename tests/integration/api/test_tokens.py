"""Tokens of an identity provider at the API, with its key set served on loopback."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from orchestrator.access.identity import Role
from orchestrator.api.app import create_app
from orchestrator.application.core import Core
from orchestrator.settings import SettingsError, load_settings
from tests.integration.access.provider import AUDIENCE, ISSUER, Provider, jwk, provider, rsa_key, token
from tests.integration.api.test_authentication import issue
from tests.integration.api.test_errors import check
from tests.world.core import register
from tests.world.http import LIMITS, RUNS, connect
from tests.world.lines import LINE

KEY = rsa_key()


@pytest.fixture
def served() -> Iterator[Provider]:
    with provider() as served:
        served.keys = [jwk("first", KEY)]
        yield served


@pytest.fixture
async def client(core: Core, served: Provider) -> AsyncIterator[httpx.AsyncClient]:
    await register(core, LINE, tenant="acme")
    settings = load_settings(
        database_url=core.settings.database_url,
        auth=("keys", "oidc"),
        oidc_issuer=ISSUER,
        oidc_audience=AUDIENCE,
        oidc_jwks_url=served.url,
    )
    async with connect(create_app(replace(core, settings=settings), LIMITS)) as client:
        yield client


def bearer(shown: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {shown}"}


async def test_a_token_opens_its_tenant_in_its_role(client: httpx.AsyncClient) -> None:
    body = {"workflowName": "test.line"}
    run_id = (await client.post(RUNS, json=body, headers=bearer(token(KEY)))).json()["runId"]
    (event,) = (await client.get(f"{RUNS}/{run_id}/events", headers=bearer(token(KEY)))).json()["events"]
    assert event["actor"] == "ada (token)"
    check(await client.get(f"{RUNS}/{run_id}", headers=bearer(token(KEY, tenant="other"))), 404, "RUN_NOT_FOUND")
    check(await client.post(RUNS, json=body, headers=bearer(token(KEY, roles=["viewer"]))), 403, "FORBIDDEN")
    check(await client.get(RUNS, headers=bearer(token(KEY, roles=[]))), 403, "FORBIDDEN")
    check(await client.get(RUNS, headers=bearer(token(rsa_key()))), 401, "UNAUTHENTICATED")


async def test_keys_are_taken_beside_tokens(core: Core, client: httpx.AsyncClient) -> None:
    assert (await client.get(RUNS, headers=issue(core, Role.VIEWER))).status_code == 200


async def test_a_provider_that_is_away_is_no_fault_of_the_callers(client: httpx.AsyncClient, served: Provider) -> None:
    served.answer = (500, b"")
    for _ in range(20):
        answer = await client.get(RUNS, headers=bearer(token(KEY)))
        check(answer, 503, "IDENTITY_PROVIDER_UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
    assert served.asked == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"auth": ("oidc",)}, "needs ORCHESTRATOR_OIDC_ISSUER, ORCHESTRATOR_OIDC_AUDIENCE, ORCHESTRATOR_OIDC_JWKS_URL"),
        ({"oidc_issuer": ISSUER}, "ORCHESTRATOR_OIDC_ISSUER has no effect without oidc"),
        ({"oidc_algorithms": ("HS256",)}, "ORCHESTRATOR_OIDC_ALGORITHMS"),
        ({"oidc_algorithms": ("RS256", "none")}, "ORCHESTRATOR_OIDC_ALGORITHMS"),
        ({"oidc_algorithms": ()}, "ORCHESTRATOR_OIDC_ALGORITHMS"),
        ({"oidc_jwks_url": "http://id.example/keys"}, "expected https://"),
        ({"auth": ("passwords",)}, "ORCHESTRATOR_AUTH"),
    ],
)
def test_settings_that_would_let_in_too_many_are_refused(given: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**given)
    assert told in str(caught.value)


async def test_keys_of_the_provider_may_lie_in_a_file(core: Core, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [jwk("first", KEY)]}))
    given = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE, "oidc_jwks_url": str(tmp_path / "keys.json")}
    settings = load_settings(auth=("oidc",), **given)
    async with connect(create_app(replace(core, settings=settings), LIMITS)) as client:
        assert (await client.get(RUNS, headers=bearer(token(KEY)))).status_code == 200
        check(await client.get(RUNS, headers=issue(core, Role.ADMIN)), 401, "UNAUTHENTICATED")
