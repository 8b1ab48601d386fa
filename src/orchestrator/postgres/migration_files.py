"""The files of migrations: numbered `.sql` files, each with a name that is used once.

MigrationError           the files are not what they should be, or one of them failed
├── MigrationChanged     a file was edited after it had been applied
├── DatabaseBehind       the database lacks migrations of this program
└── DatabaseTooNew       a newer program has migrated the database, and this one cannot live with that
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable

_FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_OLDEST = re.compile(r"^-- oldest program: (\d{4})$", re.MULTILINE)


class MigrationError(Exception):
    """The database cannot be brought up to date, or is not."""


class MigrationChanged(MigrationError):
    """A migration was edited after it had been applied."""


class DatabaseBehind(MigrationError):
    """The database lacks migrations of this program."""


class DatabaseTooNew(MigrationError):
    """The database has migrations that this program does not know and cannot live with."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `name` without its ending, its SQL, and the SHA-256 of that SQL in hex."""

    name: str
    sql: str
    checksum: str

    @property
    def number(self) -> int:
        """The number that its name begins with."""
        return int(self.name[:4])

    @property
    def oldest_program(self) -> int:
        """The oldest program that can live with it, as its line `-- oldest program: NNNN` says; 0 for every program."""
        found = _OLDEST.search(self.sql)
        return int(found[1]) if found else 0


def read_migrations(folders: Iterable[Traversable]) -> list[Migration]:
    """Return the migrations of folders, folder by folder, by number within each.

    Raises:
        MigrationError: a folder or a file name is wrong, or a number or a name is used twice.
    """
    migrations: dict[str, Migration] = {}
    for folder in folders:
        if not folder.is_dir():
            raise MigrationError(f"{folder} is no folder of migrations")
        numbers: dict[str, str] = {}
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if not file.name.endswith(".sql"):
                continue
            number, name = file.name[:4], file.name.removesuffix(".sql")
            if not _FILE_NAME.fullmatch(file.name):
                raise MigrationError(f"{folder} has {file.name}; a migration is named like 0001_some_words.sql")
            if name in migrations or number in numbers:
                raise MigrationError(f"{file.name} clashes with {numbers.get(number, name)}.sql: numbers are used once")
            numbers[number] = name
            sql = file.read_text(encoding="utf-8")
            migrations[name] = Migration(name, sql, hashlib.sha256(sql.encode()).hexdigest())
    return list(migrations.values())


def newest_number(migrations: Sequence[Migration]) -> int:
    """Return the highest number of migrations, by which a program is known; 0 without any."""
    return max((migration.number for migration in migrations), default=0)
