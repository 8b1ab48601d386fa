"""The Python skills of the pipeline: small, deterministic, and without dependencies."""

import html
import io
import re
import zipfile
from collections import Counter
from typing import Any

from orchestrator import SkillError, StepContext, skill

HEADING = re.compile(r"^#{1,3}\s+(.+)$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
WORD = re.compile(r"[A-Za-z][A-Za-z-]{5,}")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a ZIP file can store; a fixed time makes equal bundles equal


@skill("documents.read")
def read(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    """Split the text into sections, and keep it as an artifact."""
    text = given["text"].strip() + "\n"
    ctx.artifact(text.encode(), "text/markdown", filename="source.md")
    headings = list(HEADING.finditer(text))
    if not headings:
        raise SkillError("NO_HEADINGS", "the text has no heading; begin a section with `# Title`", retryable=False)
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    sections = [
        {"heading": heading[1].strip(), "text": text[heading.end() : end].strip()}
        for heading, end in zip(headings, ends, strict=True)
    ]
    print(f"{len(sections)} sections, {len(text):,} characters")
    return {"sections": sections}


@skill("documents.outline")
def outline(given: dict[str, Any]) -> dict[str, Any]:
    """Return the sections that have text, and their headings."""
    kept = [section for section in given["sections"] if section["text"]]
    return {"sections": kept, "headings": [section["heading"] for section in kept]}


@skill("documents.terms")
def terms(given: dict[str, Any]) -> dict[str, Any]:
    """Return the ten long words that occur most often, for a glossary."""
    words = Counter(word.lower() for section in given["sections"] for word in WORD.findall(section["text"]))
    return {"terms": [word for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:10]]}


@skill("documents.count")
def count(given: dict[str, Any], ctx: StepContext) -> dict[str, int]:
    """Count the words of the source."""
    return {"words": len(ctx.read_artifact(given["source"]).split())}


@skill("documents.cover")
def cover(given: dict[str, Any], ctx: StepContext) -> dict[str, str]:
    """Draw a cover: the title, and a bar for each section."""
    bars = []
    for number, heading in enumerate(given["headings"][:12]):
        ctx.progress((number + 1) / min(12, len(given["headings"])), heading)
        width = 40 + 4 * min(60, len(heading))
        bars.append(f'<rect x="40" y="{150 + 24 * number}" width="{width}" height="14" fill="{given["accent"]}"/>')
    title = f'<text x="40" y="100" font-size="36" font-family="sans-serif">{html.escape(given["title"])}</text>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 480">{title}{"".join(bars)}</svg>'
    ctx.artifact(svg.encode(), "image/svg+xml", filename="cover.svg")
    return {"svg": svg}


@skill("documents.check")
def check(given: dict[str, Any], ctx: StepContext) -> dict[str, int]:
    """Check that the page has every heading, and count its links."""
    page = ctx.read_artifact(given["page"]).decode()
    for heading in given["headings"]:
        found = html.escape(heading) in page
        print(f"{'found  ' if found else 'missing'} {heading}")
        if not found:
            raise SkillError("PAGE_INCOMPLETE", f"the page has no section {heading!r}", retryable=False)
    ctx.log.info("page checked", headings=len(given["headings"]))
    return {"links": page.count("<a href=")}


@skill("documents.bundle")
def bundle(given: dict[str, Any], ctx: StepContext) -> dict[str, Any]:
    """Pack the files into one archive, with the same bytes for the same content."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for artifact in given["files"]:
            archive.writestr(zipfile.ZipInfo(artifact["filename"], EPOCH), ctx.read_artifact(artifact))
    ctx.artifact(packed.getvalue(), "application/zip", filename="publication.zip")
    return {"files": [artifact["filename"] for artifact in given["files"]], "words": given["words"]}
