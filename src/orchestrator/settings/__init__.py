"""All settings of the program, read once and frozen. Only this package reads `ORCHESTRATOR_*` variables."""

from orchestrator.settings.environment import PREFIX, SECRET_PREFIX, forget_secrets
from orchestrator.settings.loading import SettingsError, load_settings
from orchestrator.settings.model import Settings

__all__ = ["PREFIX", "SECRET_PREFIX", "Settings", "SettingsError", "forget_secrets", "load_settings"]
