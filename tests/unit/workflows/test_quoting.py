"""What is suggested for an expression that was meant as a name to quote, or as a literal."""

from typing import Any

import pytest

from orchestrator.domain.workflow import Workflow
from orchestrator.workflows import load_document
from orchestrator.workflows.validate import faults


def document(chosen: Any) -> dict[str, Any]:
    steps = [{"stepId": name, "skillId": "s"} for name in ("a", "my-step", "2nd", "a.b")]
    last = {"stepId": "z", "skillId": "s", "dependsOn": [step["stepId"] for step in steps], "input": chosen}
    return {"workflowName": "x", "version": "1", "steps": [*steps, last]}


def message(chosen: Any) -> str:
    (fault,) = faults(document(chosen))
    return fault.message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("steps.my-step.data", 'steps."my-step".data'),
        ("steps.2nd.data.x", 'steps."2nd".data.x'),
        ("steps.2nd.artifacts[0].id", 'steps."2nd".artifacts[0].id'),
        ("steps.a.data.x-y", 'steps.a.data."x-y"'),
        ("trigger.a-1", 'trigger."a-1"'),
        ("trigger.größe", 'trigger."größe"'),
        ("trigger.xs[-1].a-b", 'trigger.xs[-1]."a-b"'),
        ("trigger.xs[0:2].$ref", 'trigger.xs[0:2]."$ref"'),
        ("trigger.x[?a-b == 'c-d'].e", "trigger.x[?\"a-b\" == 'c-d'].e"),
        ("join('-', [steps.my-step.data, `\"a-b\"`])", 'join(\'-\', [steps."my-step".data, `"a-b"`])'),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_name_that_has_to_be_quoted(written: str, meant: str, *, whole: bool) -> None:
    said = message(written if whole else {"lang": written})
    assert said.endswith(f"; quote names with characters other than letters, digits and _: {meant}")
    assert isinstance(load_document(document({"lang": meant}), "test"), Workflow)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("de", "'de'"),
        ("Hello World", "'Hello World'"),
        ("text/plain", "'text/plain'"),
        ("en-US", "'en-US'"),
        ("https://example.org/x", "'https://example.org/x'"),
        ("42", "`42`"),
        ("-1.5", "`-1.5`"),
        ("true", "`true`"),
        ("null", "`null`"),
    ],
)
def test_a_literal_without_its_quotes(written: str, meant: str) -> None:
    assert f'write "{meant}"' in message({"lang": written})
    assert isinstance(load_document(document({"lang": meant}), "test"), Workflow)


@pytest.mark.parametrize(
    "written", ["trigger.[", "lenght(trigger)", "it's", "triger", "base", "x" * 5000 + "-", "a\nb"]
)
def test_nothing_is_suggested_where_nothing_is_certain(written: str) -> None:
    assert "write" not in message({"lang": written})
    assert "quote names" not in message({"lang": written})


def test_a_text_is_no_input() -> None:
    assert "write" not in message("de")
