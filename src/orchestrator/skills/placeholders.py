"""Placeholders for secrets, `${secret:NAME}`, in what a skill declares. They are filled in when the skill is called."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

SECRET_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
NAME_RULE: Final = "1 to 128 letters, digits, `_`, `-` and `.`, and not begin with `-` or `.`"

_OPENING = "${secret:"
_PLACEHOLDER = re.compile(r"\$\{secret:([^}]*)\}")
_OTHER = re.compile(r"\$\{(?!secret:)[^}]*\}")


def has_secrets(texts: Mapping[str, str]) -> bool:
    """Return whether some text has a placeholder."""
    return any(_OPENING in text for text in texts.values())


def secret_names(text: str) -> list[str]:
    """Return the names in the placeholders of a text."""
    return _PLACEHOLDER.findall(text)


def other_placeholders(text: str) -> Iterator[str]:
    """Yield what looks like a placeholder but is not one for a secret, such as `${HOME}`: it is used as it is."""
    return (found[0] for found in _OTHER.finditer(text))


def placeholder_fault(text: str) -> str | None:
    """Return which placeholder for a secret is invalid and why, or None."""
    if _OPENING in _PLACEHOLDER.sub("", text):
        return f"{_OPENING} has no closing brace; write ${{secret:NAME}}"
    for name in secret_names(text):
        if not SECRET_NAME.fullmatch(name):
            return f"the secret name {name[:80]!r} must be {NAME_RULE}"
    return None


def fill(text: str, get: Callable[[str], str]) -> str:
    """Return a text with its placeholders replaced; `get` returns the value of a secret."""
    return _PLACEHOLDER.sub(lambda found: get(found[1]), text) if _OPENING in text else text
