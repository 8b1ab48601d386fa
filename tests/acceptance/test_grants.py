"""A permission or a package that is missing: one clear line with the fix, never a fault of the program."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.world.programs import FIXTURES, ROOT, Done, call, environment

CHAIN = ("run", FIXTURES / "chain.yaml", "--skills", FIXTURES / "links.py", "--payload")
SQL_BLOCK = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)

As = Callable[..., dict[str, str]]


@pytest.fixture
def role(database_url: str, home: Path) -> Iterator[As]:
    """Make a role with some statements, and return the settings of a program that connects as it."""
    made: list[str] = []

    def connect_as(*statements: str) -> dict[str, str]:
        name = f"role_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(name)))
            made.append(name)
            for statement in statements:
                connection.execute(SQL(statement).format(Identifier(name)))  # type: ignore[arg-type]
        return {
            "ORCHESTRATOR_DATABASE_URL": database_url.replace("//orchestrator@", f"//{name}@"),
            "ORCHESTRATOR_DATA_DIR": str(home),
        }

    yield connect_as
    with psycopg.connect(database_url, autocommit=True) as connection:
        for name in made:
            connection.execute(SQL("DROP OWNED BY {}").format(Identifier(name)))
            connection.execute(SQL("DROP ROLE {}").format(Identifier(name)))


def complaint(done: Done) -> str:
    assert done.code == 1, done.err
    assert "This is a bug" not in done.err
    assert "Traceback" not in done.err
    (line,) = (line for line in done.err.splitlines() if line.startswith("error: "))
    return line


USAGE = "GRANT USAGE ON SCHEMA orchestrator TO {}"
SELECT = "GRANT SELECT ON ALL TABLES IN SCHEMA orchestrator TO {}"
VERBS = [
    ("workflows", "register", FIXTURES / "chain.yaml"),
    ("keys", "create", "x"),
    ("projections", "rebuild", "runs"),
    ("worker",),
    ("projector",),
    ("api", "--port", "0"),
    (*CHAIN, "{}"),
]


@pytest.mark.parametrize("verb", VERBS, ids=lambda words: words[0])
def test_a_role_that_may_only_look(verb: tuple[str | Path, ...], role: As) -> None:
    told = complaint(call(*verb, env=role(USAGE, SELECT)))
    assert "permission denied for" in told or "lacks INSERT on events" in told
    assert "grant what is missing (docs/operations.md, Permissions)" in told


@pytest.mark.parametrize("verb", [("runs", "list"), ("worker",)], ids=lambda words: words[0])
def test_a_role_that_may_nothing(verb: tuple[str, ...], role: As) -> None:
    assert "permission denied for schema orchestrator" in complaint(call(*verb, env=role()))


@pytest.mark.parametrize("verb", VERBS, ids=lambda words: words[0])
def test_a_server_that_only_reads(verb: tuple[str | Path, ...], role: As) -> None:
    env = role("GRANT orchestrator TO {}", "ALTER ROLE {} SET default_transaction_read_only = on")
    assert "Connect to the primary server" in complaint(call(*verb, env=env))


def test_the_documented_grants_are_enough(role: As, home: Path) -> None:
    (block,) = SQL_BLOCK.findall((ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))
    statements = [statement.replace(" app", " {}") for statement in block.split(";") if statement.strip()]
    env = role(*statements)
    done = call(*CHAIN, f'{{"file": "{home / "made"}"}}', env=env)
    assert done.code == 0, done.err
    assert call("runs", "list", "--json", env=env).document["runs"][0]["status"] == "completed"
    assert call("keys", "create", "x", env=env).code == 0


PROGRAM = """
import sys
for name in {lacking!r}:
    sys.modules[name] = None
from orchestrator.cli import main
main()
"""


@pytest.mark.parametrize(
    ("lacking", "settings", "verb", "fix"),
    [
        (["pyarrow"], {}, ["audit", "export", "--output", "log.parquet"], "pip install 'orchestrator[parquet]'"),
        (["redis"], {"REDIS_URL": "redis://127.0.0.1:1"}, ["worker"], "pip install 'orchestrator[redis]'"),
        (
            ["Crypto"],
            {"CIPHER_KEY": "MDEyMzQ1Njc4OTAxMjM0NQ=="},
            ["runs", "list"],
            "pip install 'orchestrator[encryption]'",
        ),
        (["jwt"], {"AUTH": "oidc"}, ["api", "--port", "0"], "pip install 'orchestrator[oidc]'"),
        (["opentelemetry.sdk"], {"OTLP_ENDPOINT": "http://127.0.0.1:1"}, ["runs", "list"], "'orchestrator[tracing]'"),
        (["botocore"], {"ARTIFACT_URL": "s3://bucket/x"}, ["runs", "list"], "pip install 'orchestrator[s3]'"),
        (["gcsfs"], {"ARCHIVE_URL": "gs://bucket/x"}, ["retention", "list"], "pip install gcsfs"),
        (
            [],
            {"ARTIFACT_URL": "foo://bucket/x"},
            ["runs", "list"],
            "ARTIFACT_URL has an invalid foo:// URL",
        ),
        (
            [],
            {"ARTIFACT_URL": "s3://who:secret@bucket/x"},
            ["runs", "list"],
            "ARTIFACT_URL has an invalid s3:// URL: expected s3://bucket or s3://bucket/prefix",
        ),
        (["numpy"], {}, ["workflows", "validate", FIXTURES / "chain.yaml", "--skills", "numpy"], "numpy"),
    ],
    ids=["parquet", "redis", "encryption", "oidc", "tracing", "s3", "gcs", "unknown", "password", "skills"],
)
def test_a_package_that_is_not_installed(
    lacking: list[str], settings: dict[str, str], verb: list[str], fix: str, database_url: str, home: Path
) -> None:
    env = {"ORCHESTRATOR_DATABASE_URL": database_url, "ORCHESTRATOR_DATA_DIR": str(home)}
    env |= {f"ORCHESTRATOR_{name}": value for name, value in settings.items()}
    if "AUTH" in settings:
        env |= {f"ORCHESTRATOR_OIDC_{name}": "/nowhere" for name in ("ISSUER", "AUDIENCE", "JWKS_URL")}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(lacking=lacking), *map(str, verb)],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
        env=environment(env),
        cwd=os.fspath(home),
    )
    assert ended.returncode == 1, ended.stdout
    assert ended.stderr.startswith("error: ")
    assert fix in ended.stderr
    assert "This is a bug" not in ended.stderr
    assert "secret" not in ended.stderr
