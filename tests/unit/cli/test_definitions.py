"""Which files of a folder are workflows."""

import json
from pathlib import Path

import pytest

from orchestrator.cli.complaint import Complaint
from orchestrator.cli.definitions import find_definitions
from orchestrator.domain.errors import InvalidWorkflow

YAML = 'workflowName: {}\nversion: "1"\nsteps: [{{stepId: a, skillId: b}}]\n'


def document(name: str) -> str:
    return json.dumps({"workflowName": name, "version": "1", "steps": [{"stepId": "a", "skillId": "b"}]})


def names(*paths: Path) -> list[str]:
    return [workflow.name for workflow in find_definitions(paths, 5)]


def test_every_form_of_a_workflow_counts(tmp_path: Path) -> None:
    for suffix in ("yaml", "yml"):
        (tmp_path / f"{suffix}.{suffix}").write_text(YAML.format(suffix))
    (tmp_path / "json.json").write_text(document("json"))
    (tmp_path / "notes.md").write_text("no workflow")
    assert names(tmp_path) == ["json", "yaml", "yml"]


@pytest.mark.parametrize("payload", ['{"brief": {"title": "x"}}', "[1, 2]", '"text"', "{}"])
def test_a_payload_beside_workflows_is_left_out(payload: str, tmp_path: Path) -> None:
    (tmp_path / "payload.json").write_text(payload)
    (tmp_path / "flow.json").write_text(document("flow"))
    assert names(tmp_path) == ["flow"]


@pytest.mark.parametrize(
    "content", ['{"workflowName": "x",', '{"workflow": "x", "steps": []}', '{"workflowName": "x"}', "\udcff"]
)
def test_a_json_file_with_a_fault_is_no_payload(content: str, tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidWorkflow, match=r"flow\.json"):
        names(tmp_path)


@pytest.mark.parametrize("file", [None, "notes.txt", "payload.json"])
def test_a_folder_without_a_workflow_is_a_mistake(file: str | None, tmp_path: Path) -> None:
    if file is not None:
        (tmp_path / file).write_text('{"a": 1}')
    with pytest.raises(Complaint, match=r"No workflow files in the directory .*\.yaml, \.yml, \.json"):
        names(tmp_path)
