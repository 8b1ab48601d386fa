"""Named SQL statements, kept in a `.sql` file beside the module that runs them.

    -- name: block_name
    SELECT ...

    SqlFileError
    └── UnknownStatement     no block of that name

Comments above the first block belong to the file; everything between a name line and the next belongs to that block.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_NAME_LINE = re.compile(r"^--[ \t]*name:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")


class SqlFileError(Exception):
    """A `.sql` file cannot be read as named blocks."""


class UnknownStatement(SqlFileError, AttributeError):
    """The file has no block of that name."""


class Statements(Mapping[str, str]):
    """The blocks of one file, by name: `statements.append` or `statements["append"]`."""

    def __init__(self, path: Path, blocks: Mapping[str, str]) -> None:
        self._path = path
        self._blocks = blocks

    def __getattr__(self, name: str) -> str:
        # Copying and pickling look up names with a leading underscore before `_blocks` exists.
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> str:
        if name not in self._blocks:
            known = ", ".join(self._blocks)
            raise UnknownStatement(f"{self._path} has no block named {name!r}; it has: {known}")
        return self._blocks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, name: object) -> bool:
        return name in self._blocks


def load_sql(module_file: str) -> Statements:
    """Read the `.sql` file next to a module.

    Args:
        module_file: The module's `__file__`; `log.py` reads `log.sql`.

    Raises:
        SqlFileError: The file is missing, or not made of named blocks.
    """
    path = Path(module_file).with_suffix(".sql")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SqlFileError(f"{path} cannot be read: {error.strerror}") from error
    return Statements(path, _blocks(path, text))


def _blocks(path: Path, text: str) -> dict[str, str]:
    # Splitting on a pattern with one group gives the text above, then alternating names and bodies.
    above, *pairs = _NAME_LINE.split(text)
    if _COMMENT.sub("", above).strip():
        raise SqlFileError(f"{path} has SQL above its first '-- name:' line")
    blocks: dict[str, str] = {}
    for name, body in zip(pairs[::2], pairs[1::2], strict=True):
        if not name.isidentifier() or name.startswith("_"):
            raise SqlFileError(f"{path} has invalid block name {name!r}; use letters, digits and underscores")
        if name in blocks:
            raise SqlFileError(f"{path} has two blocks named {name!r}")
        if not _COMMENT.sub("", body).strip():
            raise SqlFileError(f"{path} has nothing in the block named {name!r}")
        blocks[name] = body.strip()
    return blocks
