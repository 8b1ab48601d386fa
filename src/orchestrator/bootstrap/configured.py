"""Report a package that a setting needs and that is not installed, as an error with the setting and the package."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.settings import PREFIX, SettingsError

_PACKAGES = {"s3": "'orchestrator[s3]'", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


@contextmanager
def store_of(setting: str, url: str) -> Iterator[None]:
    """Convert errors from building a store inside this block.

    Raises:
        SettingsError: the URL's scheme is unknown, or the package for it is not installed.
    """
    scheme = url.partition("://")[0]  # the rest may contain a password
    try:
        yield
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        fix = "" if package is None else f"; install it with: pip install {package}"
        reason = " ".join(str(error).split())
        raise SettingsError(
            f"{PREFIX}{setting} has a {scheme}:// URL, but the package for it is not installed ({reason}){fix}"
        ) from error
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{PREFIX}{setting} has an invalid {scheme}:// URL: {reason}") from error


@contextmanager
def package_of(setting: str, extra: str) -> Iterator[None]:
    """Convert import errors inside this block.

    Raises:
        SettingsError: a package of the extra is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise SettingsError(
            f"{PREFIX}{setting} is set, but its packages are not installed; "
            f"install them with: pip install 'orchestrator[{extra}]'"
        ) from error
