"""What a setting asks for and this installation lacks: one clear error that names the setting and the package."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.settings import PREFIX, SettingsError

_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


@contextmanager
def store_of(setting: str, url: str) -> Iterator[None]:
    """Build a store within this block.

    Raises:
        SettingsError: nobody knows the kind of store that the url names, or the package for it is not installed.
    """
    scheme = url.partition("://")[0]  # what follows may hold a password
    try:
        yield
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        fix = "" if package is None else f": pip install {package}"
        said = " ".join(str(error).split())
        raise SettingsError(
            f"{PREFIX}{setting} has a {scheme}:// url, and the package for it is not installed ({said}){fix}"
        ) from error
    except ValueError as error:
        said = " ".join(str(error).split())
        raise SettingsError(f"{PREFIX}{setting} has a {scheme}:// url that cannot be used: {said}") from error


@contextmanager
def package_of(setting: str, extra: str) -> Iterator[None]:
    """Build what a setting asks for within this block.

    Raises:
        SettingsError: a package of the extra is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise SettingsError(
            f"{PREFIX}{setting} is set but the packages for it are not installed: pip install 'orchestrator[{extra}]'"
        ) from error
