"""What the README shows, as files and as lines for a shell."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """Return the text below a heading of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(language: str) -> list[str]:
    """Return the blocks of the README's quick start that are written in a language."""
    return [text for name, text in _BLOCK.findall(section("Quick start")) if name == language]


def write_example(folder: Path) -> None:
    """Write the skill and the workflow of the quick start to a folder, under the names it gives them."""
    (skill,) = (block for block in blocks("python") if "@skill" in block)
    (folder / "hello.py").write_text(skill, encoding="utf-8")
    (workflow,) = blocks("yaml")
    (folder / "hello.yaml").write_text(workflow, encoding="utf-8")


def lines_of_http_api() -> str:
    """Return the example of docs/http-api.md."""
    text = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    (lines,) = (block for name, block in _BLOCK.findall(text) if name == "sh")
    return str(lines)
