"""Whether another user gets to a file, told from the permission bits of the file and of its parents."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.folders import open_folder
from orchestrator.postgres.embedded.account import Account, make_public

US = Account(os.geteuid(), os.getegid())
OUR_GROUP = Account(54321, os.getegid())
STRANGER = Account(54321, 54321)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody gets to."""
    with open_folder() as made:
        os.chown(made, US.uid, US.gid)
        yield made.resolve()
        made.chmod(0o755)


@pytest.mark.parametrize(
    ("mode", "us", "our_group", "stranger"),
    [
        (0o755, True, True, True),
        (0o750, True, True, False),
        (0o700, True, False, False),
        (0o055, False, True, True),  # the owner's bits are the only ones that count for the owner
        (0o705, True, False, True),
        (0o644, False, False, False),  # may be listed, not entered
    ],
)
def test_who_may_enter_a_folder(folder: Path, mode: int, us: bool, our_group: bool, stranger: bool) -> None:
    folder.chmod(mode)
    assert [account.may(folder, execute=True) for account in (US, OUR_GROUP, STRANGER)] == [us, our_group, stranger]


def test_a_file_in_a_closed_folder_is_out_of_reach(folder: Path) -> None:
    file = folder / "file"
    file.write_text("x")
    file.chmod(0o644)
    assert STRANGER.may(file, read=True)
    assert not STRANGER.may(file, read=True, execute=True)
    folder.chmod(0o700)
    assert not STRANGER.may(file, read=True)
    assert US.may(file, read=True)


def test_a_public_folder_is_public_under_a_strict_umask(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        make_public(folder / "new")
        (folder / "old").mkdir()
        make_public(folder / "old")
    finally:
        os.umask(before)
    assert (folder / "new").stat().st_mode & 0o777 == 0o755
    assert (folder / "old").stat().st_mode & 0o777 == 0o700


def test_a_child_is_demoted_only_to_somebody_else() -> None:
    assert Account.current().demotion() == {}
    assert STRANGER.demotion() == {"user": 54321, "group": 54321, "extra_groups": []}
