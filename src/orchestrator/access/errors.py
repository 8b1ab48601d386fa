"""Errors of letting somebody in. None of them holds what was shown.

AccessError
├── CredentialsRefused     what was shown is wrong, expired or revoked
├── CredentialsUseless     it is right, but leads to no tenant or role here
├── ProviderAway           the keys of the identity provider cannot be had
└── TooManyUnknown         it is not known yet, and too many others wait to be looked up
"""


class AccessError(Exception):
    """Authentication failed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CredentialsRefused(AccessError):
    """What was shown is wrong, expired or revoked."""


class CredentialsUseless(AccessError):
    """What was shown is right, but it leads to no tenant or role here."""


class ProviderAway(AccessError):
    """The keys of the identity provider cannot be had."""


class TooManyUnknown(AccessError):
    """What was shown is not known yet, and too many others wait to be looked up."""
