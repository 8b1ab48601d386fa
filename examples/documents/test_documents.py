"""Tests of the example, as you would write them for your own workflows: `pytest examples/documents`."""

import json
from pathlib import Path

import pytest

from orchestrator.testing import call, run

FOLDER = Path(__file__).parent
SKILLS = FOLDER / "skills.py"
TEXT = json.loads((FOLDER / "text.json").read_text(encoding="utf-8"))
SERVICE = {
    "summarize": {"summaries": {"Events": "An event is a fact that has happened"}},
    "translate": {"summaries": {"Events": "Kurz gesagt: Ein Ereignis ist eine Tatsache"}},
    "publish": {"url": "https://publications.example/1"},
}


def test_a_text_is_split_at_its_headings() -> None:
    called = call("documents.read", {"text": "# One\n\nfirst\n\n# Two\n\nsecond"}, skills=SKILLS)
    assert called.data == {"sections": [{"heading": "One", "text": "first"}, {"heading": "Two", "text": "second"}]}
    assert [artifact.filename for artifact in called.artifacts] == ["source.md"]


def test_a_text_without_a_heading_is_refused() -> None:
    called = call("documents.read", {"text": "only words"}, skills=SKILLS)
    assert called.error is not None
    assert called.error.code == "NO_HEADINGS"


def test_the_cover_reports_its_progress() -> None:
    called = call("documents.cover", {"title": "T", "headings": ["A", "B"], "accent": "#000000"}, skills=SKILLS)
    assert called.progress == [(0.5, "A"), (1.0, "B")]


def test_a_text_becomes_a_publication() -> None:
    ran = run(FOLDER / "documents.build.v1.yaml", TEXT, skills=[SKILLS, FOLDER / "services.yaml"], results=SERVICE)
    assert ran.status == "completed", ran.errors
    assert ran.outputs["bundle"]["files"] == ["index.html", "cover.svg"]
    page = next(artifact.content for artifact in ran.artifacts if artifact.filename == "index.html")
    assert b"Kurz gesagt: Ein Ereignis ist eine Tatsache" in page


@pytest.mark.parametrize("step", ["summarize", "translate"])
def test_a_service_that_cannot_be_reached_fails_the_run(step: str) -> None:
    results = {**SERVICE, step: ConnectionError("no route to host")}
    ran = run(FOLDER / "documents.build.v1.yaml", TEXT, skills=[SKILLS, FOLDER / "services.yaml"], results=results)
    assert ran.status == "failed"
    assert ran.errors[step].message == "ConnectionError: no route to host"
