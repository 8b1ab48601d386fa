#!/usr/bin/env python3
"""A program of its own: reads the input as JSON on stdin, and writes out/index.html."""

import html
import json
import re
import sys
from pathlib import Path

LINK = re.compile(r"\[([^\]]+)\]\((https?://[^)\s]+)\)")


def paragraphs(text: str) -> str:
    """Return Markdown paragraphs as HTML, with their links."""
    blocks = [html.escape(block.strip(), quote=False) for block in text.split("\n\n")]
    return "".join("<p>" + LINK.sub(r'<a href="\2">\1</a>', block) + "</p>" for block in blocks)


given = json.load(sys.stdin)
parts = [f"<!doctype html><meta charset=utf-8><title>{html.escape(given['title'])}</title>", given["cover"]]
for section in given["sections"]:
    heading = section["heading"]
    summary = given["summaries"].get(heading, "")
    parts.append(f"<h2>{html.escape(heading)}</h2><p><em>{html.escape(summary)}</em></p>{paragraphs(section['text'])}")
    print(f"typeset {heading}", file=sys.stderr)
parts.append("<h2>Glossary</h2><ul>" + "".join(f"<li>{term}</li>" for term in given["terms"]) + "</ul>")
out = Path("out")
out.mkdir(exist_ok=True)
(out / "index.html").write_text("\n".join(parts), encoding="utf-8")
print(json.dumps({"sections": len(given["sections"])}))
