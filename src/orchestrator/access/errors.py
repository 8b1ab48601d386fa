"""Authentication errors. None of them contains the credentials.

AccessError
├── CredentialsRefused     the credentials are wrong, expired or revoked
├── CredentialsUseless     the credentials are valid, but have no tenant or role here
├── ProviderAway           the keys of the identity provider cannot be fetched
└── TooManyUnknown         too many unknown credentials are being looked up
"""


class AccessError(Exception):
    """Authentication failed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CredentialsRefused(AccessError):
    """The credentials are wrong, expired or revoked."""


class CredentialsUseless(AccessError):
    """The credentials are valid, but have no tenant or role here."""


class ProviderAway(AccessError):
    """The keys of the identity provider cannot be fetched."""


class TooManyUnknown(AccessError):
    """The credentials are unknown, and too many others are being looked up."""
