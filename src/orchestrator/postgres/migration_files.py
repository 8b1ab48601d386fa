"""Migration files: numbered `.sql` files with unique names.

MigrationError           the files are invalid, or a migration failed
├── MigrationChanged     a file was edited after it had been applied
├── DatabaseBehind       the database lacks migrations of this program
└── DatabaseTooNew       a newer program has migrated the database, and this one is not compatible with it
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable

_FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_OLDEST = re.compile(r"^-- oldest program: (\d{4})$", re.MULTILINE)


class MigrationError(Exception):
    """The database is not up to date, or cannot be migrated."""


class MigrationChanged(MigrationError):
    """A migration was edited after it had been applied."""


class DatabaseBehind(MigrationError):
    """The database lacks migrations of this program."""


class DatabaseTooNew(MigrationError):
    """The database has migrations that this program does not know and is not compatible with."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name without the suffix, its SQL, and the SHA-256 of that SQL in hex."""

    name: str
    sql: str
    checksum: str

    @property
    def number(self) -> int:
        """The number at the start of the name."""
        return int(self.name[:4])

    @property
    def oldest_program(self) -> int:
        """The oldest compatible program, from the line `-- oldest program: NNNN`; 0 means every program."""
        found = _OLDEST.search(self.sql)
        return int(found[1]) if found else 0


def read_migrations(folders: Iterable[Traversable]) -> list[Migration]:
    """Return the migrations of folders, folder by folder, ordered by number within each folder.

    Raises:
        MigrationError: a folder does not exist, a file name is invalid, or a number or name is used twice.
    """
    migrations: dict[str, Migration] = {}
    for folder in folders:
        if not folder.is_dir():
            raise MigrationError(f"{folder} is not a folder of migrations")
        numbers: dict[str, str] = {}
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if not file.name.endswith(".sql"):
                continue
            number, name = file.name[:4], file.name.removesuffix(".sql")
            if not _FILE_NAME.fullmatch(file.name):
                raise MigrationError(f"{folder} has {file.name}; name migrations like 0001_some_words.sql")
            if name in migrations or number in numbers:
                raise MigrationError(
                    f"{file.name} conflicts with {numbers.get(number, name)}.sql: numbers and names must be unique"
                )
            numbers[number] = name
            sql = file.read_text(encoding="utf-8")
            migrations[name] = Migration(name, sql, hashlib.sha256(sql.encode()).hexdigest())
    return list(migrations.values())


def newest_number(migrations: Sequence[Migration]) -> int:
    """Return the highest migration number, which identifies a program; 0 without migrations."""
    return max((migration.number for migration in migrations), default=0)
