"""The final check of a game: every part that could fail for the player is tested."""

import io
import json
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ValidationError

from orchestrator import SkillError, StepContext, skill

from .game import CAMPAIGN_SCRIPT, Rules
from .mesh import read_glb
from .synth import loudness, read_wav

VOID = frozenset({"meta", "link", "img", "br", "hr", "input", "source"})
SOUNDS = ("music", "click", "catch", "hit", "win", "lose")
SPARE = 1.3  # at least this multiple of the goal must fall, so that the game can be won

Files = dict[str, bytes]
Check = Callable[[Files], str]


class Flaw(Exception):
    """A check failed; the message says why."""


class ValidateRequest(BaseModel):
    """Input of `game.validate`: the zip artifact."""

    bundle: dict[str, Any]


@skill("game.validate", version="1")
def validate(request: ValidateRequest, ctx: StepContext) -> dict[str, Any]:
    """Open the bundle and test every part of it.

    Raises:
        SkillError: `GAME_BUNDLE_INVALID` with all problems found, not retryable, because the bundle stays the same.
    """
    try:
        files = _unpack(ctx.read_artifact(request.bundle))
    except Flaw as flaw:
        raise SkillError("GAME_BUNDLE_INVALID", f"archive: {flaw}", retryable=False) from flaw
    passed, problems = {"archive": f"{len(files)} files"}, []
    for done, (name, check) in enumerate(CHECKS.items()):
        ctx.progress(done / len(CHECKS), name)
        try:
            passed[name] = check(files)
        except Flaw as flaw:
            problems.append(f"{name}: {flaw}")
    if problems:
        details = {"problems": problems, "passed": passed}
        raise SkillError("GAME_BUNDLE_INVALID", "; ".join(problems), retryable=False, details=details)
    report = {"valid": True, "checks": passed}
    content = json.dumps(report, indent=2, sort_keys=True).encode()
    ctx.artifact(content, type="application/json", filename="validation.json")
    return report


def _unpack(content: bytes) -> Files:
    """Return the files of the archive. Reading each file to its end verifies its checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except Exception as error:  # zlib, zipfile and struct raise different errors with the same meaning
        raise Flaw(f"cannot be read: {error}") from error


class _Page(HTMLParser):
    """Collects the addresses in a page, and checks that its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.sounds: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the address and the element."""
        named = dict(attrs)
        address = named.get("src") or named.get("href")
        if address:
            self.addresses.append(address)
        if tag == "audio":
            self.sounds.add((named.get("id") or "").removeprefix("sound-"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element, which must be the last one opened."""
        if not self.open or self.open.pop() != tag:
            raise Flaw(f"</{tag}> at line {self.getpos()[0]} closes nothing")


def _read_page(files: Files) -> _Page:
    if "index.html" not in files:
        raise Flaw("index.html is missing")
    page = _Page()
    try:
        page.feed(files["index.html"].decode())
    except UnicodeDecodeError as error:
        raise Flaw(f"index.html is not UTF-8: {error}") from error
    page.close()
    if page.open:
        raise Flaw(f"index.html leaves <{page.open[-1]}> open")
    return page


def _check_page(files: Files) -> str:
    page = _read_page(files)
    silent = sorted(set(SOUNDS) - page.sounds)
    if silent:
        raise Flaw(f"index.html has no sound for {silent}")
    return f"{len(page.addresses)} references"


def _check_references(files: Files) -> str:
    addresses = _read_page(files).addresses
    missing = sorted(address for address in addresses if address not in files)
    if missing:
        raise Flaw(f"not in the bundle: {missing}")
    unused = sorted(set(files) - set(addresses) - {"index.html"} - {n for n in files if n.startswith("model/")})
    if unused:
        raise Flaw(f"in the bundle, but used by nothing: {unused}")
    return "all present"


def _check_sounds(files: Files) -> str:
    seconds = 0.0
    for name, content in sorted(files.items()):
        if not name.startswith("sound/"):
            continue
        try:
            sound = read_wav(content)
        except ValueError as error:
            raise Flaw(f"{name}: {error}") from error
        if loudness(sound) < 1e-4:
            raise Flaw(f"{name} is silent")
        seconds += len(sound) / 22_050
    return f"{seconds:.1f} s of sound"


def _check_pictures(files: Files) -> str:
    sizes = []
    for name, content in sorted(files.items()):
        if not name.startswith("picture/"):
            continue
        try:
            picture = Image.open(io.BytesIO(content))
            picture.load()
        except (UnidentifiedImageError, OSError) as error:
            raise Flaw(f"{name}: {error}") from error
        sizes.append(f"{picture.width}x{picture.height}")
    return ", ".join(sizes)


def _check_models(files: Files) -> str:
    counts = []
    for name, content in sorted(files.items()):
        if not name.startswith("model/"):
            continue
        try:
            counts.append(f"{len(read_glb(content).faces)} faces")
        except ValueError as error:
            raise Flaw(f"{name}: {error}") from error
    return ", ".join(counts) or "none"


def _check_rules(files: Files) -> str:
    text = files.get("campaign.js", b"").decode(errors="replace").strip()
    try:
        campaign = json.loads(text.removeprefix(CAMPAIGN_SCRIPT).removesuffix(";"))
        rules = Rules.model_validate(campaign["rules"])
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise Flaw(f"campaign.js: {error}") from error
    catchable = rules.seconds * 1000 / rules.spawnMs * (1 - rules.hazardShare)
    if catchable < SPARE * rules.goal:
        raise Flaw(f"cannot fairly be won: {catchable:.0f} stars fall for a goal of {rules.goal}")
    return f"{catchable:.0f} stars for a goal of {rules.goal}"


CHECKS: dict[str, Check] = {
    "page": _check_page,
    "references": _check_references,
    "sounds": _check_sounds,
    "pictures": _check_pictures,
    "models": _check_models,
    "rules": _check_rules,
}
