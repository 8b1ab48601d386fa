"""A primary with a streaming standby, both real servers, for tests of failovers: again and again, if need be."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.postgres.sql import load_sql
from tests.clusters import Cluster, url_of

_SQL = load_sql(__file__)


class Pair:
    """Two servers. `standby` follows `primary` synchronously, so that a failover loses no commit.

    `url` names both, as an operator would.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.primary = Cluster(folder / "a")
        self.standby = Cluster(folder / "b")
        self.url = url_of(self.primary, self.standby)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for cluster in (self.primary, self.standby):
                stack.enter_context(cluster)
            self.primary.create()
            self.primary.start()
            self.join()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def join(self) -> None:
        """Make the standby anew, a copy of the primary; from then on no commit is answered that it has not."""
        self.standby.copy(self.primary)
        self.standby.start()
        self.standby.until(_SQL.is_following)
        self.primary.run(_SQL.wait_for_standby)
        self.primary.run(_SQL.reload)
        self.primary.until(_SQL.is_synchronous)

    def lose_primary(self) -> None:
        """Crash the primary. The standby answers, read-only."""
        self.primary.kill()

    def fail_over(self) -> None:
        """Promote the standby; the one that was the primary stays down until it joins as a standby."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary
