"""Where servers are started by root: in folders that their user may enter."""

import os
from pathlib import Path

from benchmarks.folders import open_folder, open_parent
from orchestrator.postgres.embedded.account import Account

SERVER = Account.service() if os.geteuid() == 0 else Account.current()


def test_a_closed_parent_is_not_taken(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert SERVER.may(open_parent(tmp_path), execute=True)


def test_the_folder_is_open_while_it_is_used_and_gone_afterwards() -> None:
    with open_folder() as folder:
        assert SERVER.may(folder.resolve(), read=True, execute=True)
    assert not folder.exists()
