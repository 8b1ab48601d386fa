"""The project as text: where its files are, and what their syntax trees hold."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "orchestrator"
DOCS = ROOT / "docs"
FOLDERS = ("src", "tests", "benchmarks", "examples")


def files(*folders: str, suffix: str = ".py") -> list[Path]:
    """Return the files of some folders of the project, all that hold code when none is named."""
    return sorted(
        path
        for folder in folders or FOLDERS
        for path in (ROOT / folder).rglob(f"*{suffix}")
        if not {"__pycache__", ".peers"}.intersection(path.parts)
    )


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Module:
    """A Python file, or a piece of one that a test made up."""

    name: str
    tree: ast.Module

    @classmethod
    def read(cls, path: Path) -> "Module":
        return cls(shown(path), ast.parse(path.read_text(encoding="utf-8")))

    @classmethod
    def of(cls, text: str) -> "Module":
        return cls("made-up.py", ast.parse(text))

    def imports(self) -> Iterator[str]:
        """Yield what is imported, `package.name` for a name that comes from a package."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def strings(self) -> Iterator[str]:
        """Yield the string constants, parts of f-strings included, docstrings not."""
        documentation = {
            id(node.value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                yield node.value

    def attributes(self) -> Iterator[str]:
        """Yield `name.attribute` for each attribute that is taken of a plain name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                yield f"{node.value.id}.{node.attr}"

    def calls(self) -> Iterator[str]:
        """Yield the plain names that are called."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield node.func.id


def modules(*folders: str) -> list[Module]:
    return [Module.read(path) for path in files(*folders)]
