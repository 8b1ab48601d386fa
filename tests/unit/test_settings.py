import base64
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator.settings import Settings, SettingsError, forget_secrets, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)


def refused(**overrides: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(**overrides)
    return str(caught.value)


def test_without_an_environment_everything_has_a_default() -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert settings.data_dir == Path(".orchestrator")
    assert settings.artifact_url == ".orchestrator/artifacts"
    assert (settings.lease_seconds, settings.heartbeat_seconds) == (15.0, 1.0)
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_artifacts_follow_the_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", "/srv/data")
    assert load_settings().artifact_url == "/srv/data/artifacts"
    monkeypatch.setenv("ORCHESTRATOR_ARTIFACT_URL", "memory://things")
    assert load_settings().artifact_url == "memory://things"


def test_a_tilde_is_the_home_folder() -> None:
    assert load_settings(data_dir="~/x").data_dir == Path.home() / "x"
    assert refused(data_dir="~no-such-user/x").startswith("ORCHESTRATOR_DATA_DIR (given as --data-dir): ")
    assert refused(server="localhost:1").startswith("ORCHESTRATOR_SERVER (given as --server): ")


@pytest.mark.parametrize("text", ["a.b, c ,", '["a.b", "c"]', "a.b,c"])
def test_lists_are_comma_lists_or_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SKILLS", text)
    monkeypatch.setenv("ORCHESTRATOR_WORKFLOWS", text)
    settings = load_settings()
    assert settings.skills == ("a.b", "c")
    assert settings.workflows == (Path("a.b"), Path("c"))


def test_an_override_wins_over_the_environment_unless_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_PORT", "9000")
    assert load_settings(port=None).port == 9000
    assert load_settings(port=9001).port == 9001


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", "")
    monkeypatch.setenv("ORCHESTRATOR_PORT", "")
    assert load_settings().database_url is None
    assert load_settings().port == 8000


def test_choices_do_not_depend_on_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LOG_LEVEL", "WARNING")
    assert load_settings().log_level == "warning"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PORT", "http", "valid integer"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("LOG_FORMAT", "xml", "'auto', 'json' or 'console'"),
        ("EXECUTOR", "fibers", "'thread' or 'process'"),
        ("COMPRESS", "maybe", "valid boolean"),
        ("SKILLS", '["a"', "expected a list"),
        ("SKILLS", "[1]", "valid string"),
        ("TENANT", "a/b", "match pattern"),
        ("LEASE_SECONDS", "nan", "finite number"),
        ("SHUTDOWN_GRACE_SECONDS", "inf", "finite number"),
        ("LEASE_SECONDS", "1e9", "less than or equal to 3600"),
        ("POOL_SIZE", "0", "greater than or equal to 1"),
        ("CORS_ORIGINS", "https://studio.example/path", "expected origins"),
        ("CORS_ORIGINS", "studio.example", "expected origins"),
        ("OTLP_ENDPOINT", "collector:4318", "match pattern"),
    ],
)
def test_a_bad_value_names_the_variable_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(f"ORCHESTRATOR_{variable}", value)
    message = refused()
    assert message.startswith(f"ORCHESTRATOR_{variable}")
    assert expected in message
    assert "\n" not in message


def test_every_problem_is_listed_once() -> None:
    lines = refused(port="x", threads=0, data_dir=3, nonsense=1).splitlines()
    assert len(lines) == 4
    assert "unknown setting nonsense" in lines


def test_a_lease_outlives_two_heartbeats() -> None:
    message = refused(lease_seconds=2, heartbeat_seconds=1.5)
    assert "ORCHESTRATOR_HEARTBEAT_SECONDS (1.5)" in message
    assert "ORCHESTRATOR_LEASE_SECONDS (2)" in message
    assert load_settings(lease_seconds=2, heartbeat_seconds=1).lease_seconds == 2


def test_secrets_are_shown_nowhere() -> None:
    key = base64.b64encode(b"hunter2-hunter2-hunter2-").decode()
    settings = load_settings(
        cipher_key=key, database_url="postgresql://u:hunter2@db/x", redis_url="redis://:hunter2@cache/0"
    )
    assert settings.cipher_key is not None
    assert settings.cipher_key.get_secret_value() == key
    for shown in (repr(settings), str(settings)):
        assert "hunter2" not in shown
        assert key not in shown


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("database_url", "hunter2", "expected postgresql://"),
        ("database_url", "host=x port=y=hunter2 hunter2", "expected postgresql://"),
        ("redis_url", "hunter2@cache:6379", "expected redis://"),
        ("cipher_key", "hunter2", "expected base64 of 16, 24 or 32"),
        ("cipher_key", base64.b64encode(b"short").decode(), "expected base64 of 16, 24 or 32"),
    ],
)
def test_a_bad_secret_is_refused_without_showing_it(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as caught:
        load_settings(**{name: value})
    assert value not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_secrets_of_skills_are_kept_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECRET_A.b-C", "for skills only")
    monkeypatch.setenv("ORCHESTRATOR_SECRETS_DIR", "~/secrets")
    settings = load_settings(tenant="acme")
    assert settings.secret_variables == {"A.b-C": "for skills only"}
    assert settings.secrets_dir == Path.home() / "secrets"
    assert "for skills only" not in f"{settings!r} {settings} {settings.model_dump()}"
    forget_secrets()
    assert "ORCHESTRATOR_SECRET_A.b-C" not in os.environ
    assert settings.secret_variables == {"A.b-C": "for skills only"}
    assert load_settings().secret_variables == {}


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, "port", 1)  # noqa: B010


def test_every_setting_is_documented() -> None:
    documented = {line.split(":")[0].strip() for line in (Settings.__doc__ or "").splitlines()}
    assert set(Settings.model_fields) <= documented
