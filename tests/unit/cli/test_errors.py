import pytest

from orchestrator.application.errors import InvalidRequest
from orchestrator.cli.complaint import Complaint
from orchestrator.cli.errors import complain
from orchestrator.client.errors import NoAnswer
from orchestrator.domain.errors import Fault, InvalidWorkflow, RunNotFound, WorkflowNotFound
from orchestrator.postgres.embedded import EmbeddedPostgresError
from orchestrator.postgres.unavailable import DatabaseUnavailable
from orchestrator.settings import SettingsError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Complaint("It is broken", "Mend it."), "error: It is broken. Mend it.\n"),
        (SettingsError("ORCHESTRATOR_PORT: invalid value 0.5"), "error: ORCHESTRATOR_PORT: invalid value 0.5\n"),
        (EmbeddedPostgresError("It is away", "Fetch it"), "error: It is away. Fetch it.\n"),
        (FileNotFoundError(2, "No such file or directory", "x.json"), "error: x.json: No such file or directory\n"),
        (ExceptionGroup("several", [Complaint("It is broken")]), "error: It is broken\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_one_clear_line(error: Exception, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert complain(error) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == told


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (WorkflowNotFound("unknown workflow x"), "workflows register"),
        (RunNotFound("there is no run x"), "runs list"),
        (DatabaseUnavailable("server closed the connection"), "Check ORCHESTRATOR_DATABASE_URL"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_it_says_what_to_do(error: Exception, fix: str, capsys: pytest.CaptureFixture[str]) -> None:
    complain(error)
    err = capsys.readouterr().err
    assert fix in err
    assert err.count("\n") == 1


def test_a_list_of_faults_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    complain(InvalidWorkflow([Fault("a", "is odd"), Fault("b", "is even")], "x.yaml"))
    assert capsys.readouterr().err == "error: x.yaml has 2 faults:\n  a: is odd\n  b: is even\n"


def test_a_request_that_breaks_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    complain(InvalidRequest([Fault("cursor", "is odd")]))
    err = capsys.readouterr().err
    assert "cursor: is odd" in err
    assert "unexpected" not in err


def test_a_fault_of_ours_is_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    complain(ZeroDivisionError("by zero"))
    err = capsys.readouterr().err
    assert "unexpected ZeroDivisionError: by zero" in err
    assert "--debug" in err


def test_an_error_that_is_its_own_context_is_told_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = DatabaseUnavailable("away"), DatabaseUnavailable("still away")
    one.__context__, other.__context__ = other, one
    complain(one)
    assert "away" in capsys.readouterr().err.lower()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("http://127.0.0.1:9 does not answer", "http://127.0.0.1:9 does not answer. Is it"),
        ("docs.v1 is not registered", "docs.v1 is not registered. Is it"),
        ("file_1 is broken", "file_1 is broken. Is it"),
        ("the server is away, it says", "The server is away, it says. Is it"),
    ],
)
def test_what_can_be_copied_is_not_changed(said: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    complain(NoAnswer(said))
    assert capsys.readouterr().err.startswith(f"error: {told}")
