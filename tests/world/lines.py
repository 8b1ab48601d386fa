"""A line of two steps that make a file, a workflow that fails and one that nobody can execute; and their skills."""

from typing import Any

from orchestrator.skills import SkillError, StepContext, skill
from orchestrator.workflows import define, step

LINE = define(
    "test.line",
    "1",
    [step("write", "test.write", input={"text": "trigger.text"}), step("read", "test.read", ["write"])],
    payload_schema={"type": "object", "properties": {"text": {"type": "string"}}},
)
FAULTY = define("test.faulty", "1", [step("break", "test.break"), step("after", "test.read", ["break"])])
STRANGE = define("test.strange", "1", [step("nobody", "test.nobody_knows")])


@skill("test.write")
async def write(asked: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    text = asked["text"] or "nothing"
    ctx.artifact(text.encode(), type="text/plain", filename="notes/what is ö é.txt")
    return {"length": len(text)}


@skill("test.read")
async def read(asked: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    return {}


@skill("test.break")
async def fail(asked: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    raise SkillError("TEST_BROKEN", "it broke", retryable=False, details={"why_not": 1})


SKILLS = (write, read, fail)
