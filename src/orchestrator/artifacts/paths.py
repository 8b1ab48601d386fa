"""Turn names into safe, unique paths below one folder.

Names are checked when they are recorded. But logs outlive those rules, and file systems differ in what they allow. So
this module is the only place that builds a path from a name.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

MAX_SEGMENT_BYTES = 240  # file systems allow 255; leave room for a number and the suffix of a partial copy

_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/]')
_SUFFIX_BYTES = 32


def safe_segment(name: str) -> str:
    """Return a name as a path segment that is valid on every common file system and cannot leave the folder."""
    shown = "".join("_" if unicodedata.category(each) in ("Cc", "Cf", "Cs") else each for each in name)
    segment = _UNSAFE.sub("_", shown).rstrip(". ")
    segment = segment + "_" * (len(name) - len(shown.rstrip(". ")))
    if not segment or segment.startswith("-"):
        segment = f"_{segment}"
    if PureWindowsPath(segment).is_reserved():
        segment = f"_{segment}"
    return _shortened(segment)


class Paths:
    """Allocates paths below a folder. No two are equal, even on case-insensitive file systems."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: set[tuple[str, ...]] = set()
        self._folders: set[tuple[str, ...]] = set()

    def take(self, *names: str) -> Path:
        """Return the path for a new file. `/` in a name separates folders. A name already in use gets a number."""
        *folders, last = [safe_segment(segment) for name in names for segment in name.split("/")]
        above: list[str] = []
        for segment in folders:
            above.append(self._free(above, segment, self._files))
            self._folders.add(_key(above))
        above.append(self._free(above, last, self._files | self._folders))
        self._files.add(_key(above))
        return self._folder.joinpath(*above)

    @staticmethod
    def _free(above: list[str], segment: str, taken: set[tuple[str, ...]]) -> str:
        name, number = segment, 1
        while _key([*above, name]) in taken:
            number += 1
            path = Path(segment)
            name = f"{path.stem}-{number}{path.suffix}"
        return name


def _key(segments: Iterable[str]) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFKC", segment).casefold() for segment in segments)


def _shortened(segment: str) -> str:
    """Shorten a segment that is too long for a file system, and keep its suffix."""
    encoded = segment.encode()
    if len(encoded) <= MAX_SEGMENT_BYTES:
        return segment
    suffix = Path(segment).suffix.encode()
    if len(suffix) > _SUFFIX_BYTES:
        suffix = b""
    return (encoded[: MAX_SEGMENT_BYTES - len(suffix)].decode("utf-8", "ignore")) + suffix.decode()
