"""Skills: what steps call, how skills are registered, and how a call is performed.

Read in this order: `skill` (the contract, and Python functions as skills), `context` (what a skill receives besides
its input), `perform` (the pipeline), `command` and `http` (the other kinds of skills), `registry` (looking up skills).
"""

from orchestrator.skills.call import SkillCall
from orchestrator.skills.command import CommandSkill
from orchestrator.skills.connections import close_connections
from orchestrator.skills.context import ArtifactSink, StepContext
from orchestrator.skills.errors import (
    SECRET_IN_OUTPUT,
    SECRET_NOT_FOUND,
    SKILL_CANCELLED,
    SKILL_EXECUTION_FAILED,
    SKILL_INPUT_INVALID,
    SKILL_NOT_FOUND,
    SKILL_OUTPUT_INVALID,
    SKILL_TIMEOUT,
    WORKER_LOST,
    InvalidSkills,
    MissingSecrets,
    SkillConflict,
    SkillError,
    SkillNotFound,
    to_step_error,
)
from orchestrator.skills.http import HttpSkill
from orchestrator.skills.nursery import close_nursery
from orchestrator.skills.perform import perform
from orchestrator.skills.process import perform_in_process
from orchestrator.skills.registry import SkillRegistry
from orchestrator.skills.secrets import SecretNotFound, SecretProvider, Secrets
from orchestrator.skills.skill import FunctionSkill, Skill, skill
from orchestrator.skills.threads import DaemonThreads

__all__ = [
    "SECRET_IN_OUTPUT",
    "SECRET_NOT_FOUND",
    "SKILL_CANCELLED",
    "SKILL_EXECUTION_FAILED",
    "SKILL_INPUT_INVALID",
    "SKILL_NOT_FOUND",
    "SKILL_OUTPUT_INVALID",
    "SKILL_TIMEOUT",
    "WORKER_LOST",
    "ArtifactSink",
    "CommandSkill",
    "DaemonThreads",
    "FunctionSkill",
    "HttpSkill",
    "InvalidSkills",
    "MissingSecrets",
    "SecretNotFound",
    "SecretProvider",
    "Secrets",
    "Skill",
    "SkillCall",
    "SkillConflict",
    "SkillError",
    "SkillNotFound",
    "SkillRegistry",
    "StepContext",
    "close_connections",
    "close_nursery",
    "perform",
    "perform_in_process",
    "skill",
    "to_step_error",
]
