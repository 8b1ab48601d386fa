"""Reading the settings, with one line for each problem."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.settings.environment import PREFIX
from orchestrator.settings.model import Settings

# Settings whose values never appear in messages, because they may contain a password.
_SECRET = frozenset({"cipher_key", "database_url", "key", "listen_url", "redis_url", "server"})
_DEPENDS = "default_factory_not_called"


class SettingsError(Exception):
    """A setting has an invalid value. The message names the variable and what was expected."""


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment.

    Args:
        **overrides: Settings by name that take precedence over the environment; None means not given.

    Raises:
        SettingsError: A value is invalid. The message has one line for each problem, with its variable.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        # A default that depends on an invalid value is not a separate problem.
        found = (details for details in error.errors(include_url=False) if details["type"] != _DEPENDS)
        problems = [_problem(details, given) for details in found]
    # Raised outside of `except`, because the library's error, as the cause, would reveal every value.
    raise SettingsError("\n".join(problems))


def _problem(details: ErrorDetails, given: Mapping[str, Any]) -> str:
    reason = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        return reason
    name, *rest = (str(part) for part in details["loc"])
    if name not in Settings.model_fields:
        return f"unknown setting {name}"
    variable = f"{PREFIX}{name.upper()}" + "".join(f"[{part}]" for part in rest)
    value = "" if name in _SECRET else f" {details['input']!r}"
    source = f" (given as --{name.replace('_', '-')})" if name in given else ""
    return f"{variable}{source}: invalid value{value}: {reason[:1].lower()}{reason[1:]}"
