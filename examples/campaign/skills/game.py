"""The game: its rules, and the page that implements them, as one file and as a folder in a zip."""

import base64
import html
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from orchestrator import SkillError, StepContext, skill

from .mesh import read_glb
from .plan import Difficulty, Palette, Scene, Texts
from .scene import paint_scene

TEMPLATE = Path(__file__).with_name("game_template.html")
WIDTH, HEIGHT = 960, 540
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip supports: with the real time no two bundles would be equal
PLACEHOLDER = re.compile("%%([A-Z]+)%%")
CAMPAIGN_SCRIPT = "window.CAMPAIGN = "


class Rules(BaseModel):
    """The rules of a game, and their limits.

    `fallSpeed` is in screen heights per second, `playerSpeed` in screen widths per second, `catchWidth` in units of
    1/540 of the screen height; `hazardShare` is the fraction of falling objects that are hazards.
    """

    seconds: int = Field(ge=15, le=180)
    lives: int = Field(ge=1, le=9)
    goal: int = Field(ge=3, le=120)
    spawnMs: int = Field(ge=150, le=3000)  # noqa: N815 - the page reads these names
    fallSpeed: float = Field(ge=0.1, le=2)  # noqa: N815
    playerSpeed: float = Field(ge=0.2, le=4)  # noqa: N815
    catchWidth: int = Field(ge=40, le=240)  # noqa: N815
    hazardShare: float = Field(ge=0, le=0.8)  # noqa: N815


TEMPLATES: dict[Difficulty, Rules] = {
    "easy": Rules(
        seconds=60, lives=5, goal=15, spawnMs=800, fallSpeed=0.32, playerSpeed=1.0, catchWidth=120, hazardShare=0.15
    ),
    "normal": Rules(
        seconds=45, lives=3, goal=20, spawnMs=620, fallSpeed=0.42, playerSpeed=1.1, catchWidth=100, hazardShare=0.25
    ),
    "hard": Rules(
        seconds=45, lives=3, goal=30, spawnMs=450, fallSpeed=0.58, playerSpeed=1.3, catchWidth=84, hazardShare=0.35
    ),
}


class ConfigRequest(BaseModel):
    """Input of `game.config`: a difficulty, and rules that override its defaults."""

    difficulty: Difficulty
    rules: dict[str, float] | None = None


@skill("game.config", version="1")
def configure(request: ConfigRequest, ctx: StepContext) -> Rules:
    """Return the rules of the difficulty, with the overrides of the request.

    Raises:
        SkillError: `SKILL_INPUT_INVALID`; a rule is unknown or outside its limits.
    """
    template = TEMPLATES[request.difficulty].model_dump()
    unknown = sorted(set(request.rules or {}) - set(template))
    if unknown:
        raise SkillError("SKILL_INPUT_INVALID", f"unknown rules {unknown}; known are {sorted(template)}")
    try:
        rules = Rules.model_validate(template | (request.rules or {}))
    except ValueError as error:
        raise SkillError("SKILL_INPUT_INVALID", str(error)) from error
    content = json.dumps(rules.model_dump(), indent=2, sort_keys=True).encode()
    ctx.artifact(content, type="application/json", filename="game_config.json")
    return rules


class BundleRequest(BaseModel):
    """Input of `game.bundle`: the plan, the rules, the mixed sounds, and a 3D model if the workflow has one."""

    texts: Texts
    palette: Palette
    scene: Scene
    rules: Rules
    sounds: list[dict[str, Any]]
    model: dict[str, Any] | None = None


@dataclass(frozen=True)
class File:
    """A file of the bundle."""

    content: bytes
    type: str

    @property
    def data_uri(self) -> str:
        """Return the file as a data URI."""
        return f"data:{self.type};base64,{base64.b64encode(self.content).decode()}"


@skill("game.bundle", version="1")
def bundle(request: BundleRequest, ctx: StepContext) -> dict[str, Any]:
    """Build the game twice from one template: as a folder in a zip, and as a self-contained page.

    Both play from disk, without a server.
    """
    ctx.progress(0.1, "painting the backdrop")
    files = {"picture/backdrop.jpg": _backdrop(request)}
    campaign: dict[str, Any] = {
        "texts": request.texts.model_dump(),
        "palette": request.palette.model_dump(),
        "rules": request.rules.model_dump(),
        "model": None,
    }
    ctx.progress(0.4, "collecting sounds")
    for reference in request.sounds:
        files[f"sound/{reference['filename']}"] = File(ctx.read_artifact(reference), "audio/wav")
    if request.model:
        content = ctx.read_artifact(request.model)
        files["model/treasure.glb"] = File(content, "model/gltf-binary")
        campaign["model"] = _wireframe(content)
    # A "<" in a text of the campaign could end the script element; JSON allows it to be escaped.
    script = CAMPAIGN_SCRIPT + json.dumps(campaign, sort_keys=True).replace("<", "\\u003c") + ";\n"
    ctx.progress(0.6, "writing the single page")
    single = _page(request, {path: file.data_uri for path, file in files.items()}, f"<script>{script}</script>")
    ctx.progress(0.8, "packing")
    linked = _page(request, {path: path for path in files}, '<script src="campaign.js"></script>')
    files["campaign.js"] = File(script.encode(), "text/javascript")
    files["index.html"] = File(linked.encode(), "text/html")
    packed = _zip(files)
    ctx.artifact(packed, type="application/zip", filename="game.zip", metadata={"entry": "index.html"})
    ctx.artifact(single.encode(), type="text/html", filename="index.html", metadata={"standalone": True})
    return {"entry": "index.html", "files": {path: len(file.content) for path, file in sorted(files.items())}}


def _backdrop(request: BundleRequest) -> File:
    buffer = io.BytesIO()
    paint_scene(request.scene, request.palette, WIDTH, HEIGHT).save(buffer, "JPEG", quality=86)
    return File(buffer.getvalue(), "image/jpeg")


def _wireframe(content: bytes) -> dict[str, Any]:
    """Return the data that the page needs to draw a model as a wireframe."""
    try:
        mesh = read_glb(content)
    except ValueError as error:
        raise SkillError("MESH_UNREADABLE", str(error), retryable=False) from error
    return {
        "vertices": [[round(number, 4) for number in vertex] for vertex in mesh.vertices.tolist()],
        "edges": mesh.edges.tolist(),
    }


def _page(request: BundleRequest, addresses: Mapping[str, str], campaign: str) -> str:
    """Return the page with the template filled in; `addresses` maps each file to its address in the page."""
    sounds = []
    for path, address in addresses.items():
        if path.startswith("sound/"):
            name, source = html.escape(Path(path).stem), html.escape(address)
            loop = " loop" if name == "music" else ""
            sounds.append(f'<audio id="sound-{name}" preload="auto"{loop} src="{source}"></audio>')
    parts = {
        "TITLE": html.escape(request.texts.title),
        "BACKDROP": html.escape(addresses["picture/backdrop.jpg"]),
        "SOUNDS": "\n".join(sounds),
        "CAMPAIGN": campaign,
    }
    # In one pass, so that a title such as %%SOUNDS%% is not replaced.
    return PLACEHOLDER.sub(lambda found: parts[found[1]], TEMPLATE.read_text(encoding="utf-8"))


def _zip(files: Mapping[str, File]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, file in sorted(files.items()):
            entry = zipfile.ZipInfo(path, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, file.content, compresslevel=6)
    return buffer.getvalue()
