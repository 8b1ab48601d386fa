"""A custom read model: how many seconds skills worked, per client and day."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import ClassVar

from orchestrator.projections.custom import CustomReadModel, ProjectedRun, Row


class SkillSeconds(CustomReadModel):
    """A row for each attempt that has ended: the client, the day (UTC) it ended, the skill, and its seconds."""

    name = "skill_seconds"
    version = 1
    columns: ClassVar[dict[str, str]] = {
        "step_id": "text",
        "number": "integer",
        "client": "text",
        "day": "date",
        "skill": "text",
        "seconds": "double precision",
    }
    key = ("step_id", "number")
    schema = """
        CREATE INDEX IF NOT EXISTS skill_seconds_by_day ON skill_seconds (tenant, day, client);
        CREATE OR REPLACE VIEW skill_seconds_per_day AS
            SELECT tenant, client, day, skill, sum(seconds) AS seconds, count(*) AS attempts
            FROM skill_seconds
            GROUP BY tenant, client, day, skill;
    """

    def rows(self, projected: ProjectedRun) -> Iterator[Row]:
        """Yield the ended attempts of the steps that have changed."""
        run = projected.run
        client = run.trigger.labels.get("client") or "unknown"
        for step_id in projected.touched:
            step = run.steps[step_id]
            ended = [(attempt.ended_at, attempt.duration_ms) for attempt in step.past]
            if step.hit is None and step.status in ("completed", "failed"):
                ended.append((step.ended_at, step.duration_ms))
            for number, (ended_at, duration_ms) in enumerate(ended, 1):
                yield {
                    "step_id": step_id,
                    "number": number,
                    "client": client,
                    "day": day_of(ended_at),
                    "skill": run.workflow.steps[step_id].skill,
                    "seconds": (duration_ms or 0) / 1000,
                }


def day_of(at: int) -> date:
    """Return the day (UTC) of a time in milliseconds since 1970."""
    return datetime.fromtimestamp(at / 1000, UTC).date()
