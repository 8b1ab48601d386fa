"""Where steps say that their data is too large for the log: how it begins, and where all of it is."""

from orchestrator.projections.views.values import reused_step_view, untouched_step_view

RUN = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d"
MAKER = "0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5e"


def test_a_reused_step_links_to_the_run_that_was_asked_for() -> None:
    """Its caller may know only that run."""
    made = untouched_step_view(MAKER, "make", "x", "completed")
    made |= {"dataUrl": f"/api/v1/runs/{MAKER}/steps/make/data", "dataPreview": "[1,"}
    reused = reused_step_view(RUN, MAKER, made)
    assert (reused["dataUrl"], reused["dataPreview"]) == (f"/api/v1/runs/{RUN}/steps/make/data", "[1,")
    small = untouched_step_view(MAKER, "make", "x", "completed")
    assert reused_step_view(RUN, MAKER, small)["dataUrl"] is None
