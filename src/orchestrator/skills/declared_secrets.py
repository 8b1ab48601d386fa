"""Check the secrets that skills declare before a worker starts, so that no run fails because one is missing."""

import logging
from collections.abc import Iterable

from orchestrator.skills.command import CommandSkill
from orchestrator.skills.errors import MissingSecrets, SkillError
from orchestrator.skills.http import HttpSkill
from orchestrator.skills.placeholders import other_placeholders, secret_names
from orchestrator.skills.secrets import Secrets
from orchestrator.skills.skill import Skill

logger = logging.getLogger(__name__)


def check_secrets(skills: Iterable[Skill], secrets: Secrets) -> None:
    """Read every secret that HTTP and command skills declare, and log a warning for placeholders of another form.

    Raises:
        MissingSecrets: some cannot be found, read or sent; each line names the skill, the field and the secret.
    """
    missing = [
        line for skill in skills if isinstance(skill, HttpSkill | CommandSkill) for line in _check(skill, secrets)
    ]
    if missing:
        raise MissingSecrets(missing)


def _check(skill: HttpSkill | CommandSkill, secrets: Secrets) -> list[str]:
    lines = []
    for field, text in skill.secret_fields.items():
        for other in other_placeholders(text):
            logger.warning(
                "skill %s: %s contains %s, which is used as it is; a secret is written ${secret:NAME}",
                skill.id,
                field,
                other,
            )
        for name in secret_names(text):
            try:
                secrets.get(name)
            except SkillError as error:
                lines.append(f"skill {skill.id}: {field}: {error.message}")
    if not lines:
        try:
            skill.fill(secrets.get)
        except SkillError as error:
            lines.append(f"skill {skill.id}: {error.message}")
    return lines
