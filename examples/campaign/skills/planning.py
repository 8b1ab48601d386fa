"""Turn a brief into a plan. All creative decisions are made here, by fixed rules."""

from pydantic import BaseModel

from orchestrator import StepContext, skill

from .plan import (
    Campaign,
    Colour,
    Difficulty,
    Mode,
    Mood,
    Music,
    MusicStyle,
    Palette,
    Scene,
    SceneKind,
    Texts,
    Treasure,
)
from .seed import chance, seed_of

# A palette for each style and mood: sky, horizon, glow, far, near, accent, ink.
PALETTES: dict[SceneKind, dict[Mood, tuple[str, ...]]] = {
    "neon": {
        "bright": ("#1b1464", "#ff5fa2", "#ffe66d", "#5b2a86", "#120b3a", "#00e5d4", "#0d0628"),
        "dreamy": ("#0f0c3d", "#c86bfa", "#ffb8e0", "#46307d", "#0d0930", "#ffd166", "#0a0524"),
        "tense": ("#090a1a", "#d7263d", "#ff8c42", "#3a1030", "#0b0712", "#f9c80e", "#08040d"),
    },
    "ocean": {
        "bright": ("#1877c9", "#ffd9a0", "#fff6d6", "#3a6ea5", "#0b2f52", "#ff7a59", "#08203a"),
        "dreamy": ("#101b4d", "#f29ca3", "#ffe7c2", "#34427f", "#0a1433", "#ffc857", "#070d24"),
        "tense": ("#0b1320", "#5f7f95", "#dfe9f0", "#253849", "#070d15", "#e4572e", "#05090f"),
    },
    "forest": {
        "bright": ("#4fb0c6", "#fdf3c8", "#fffbe6", "#6fae8b", "#12402f", "#ff8552", "#0b2a1f"),
        "dreamy": ("#1d2b53", "#9fd8cb", "#f4f9e9", "#3f7a76", "#0a2226", "#f4b942", "#06171a"),
        "tense": ("#101418", "#8a5a44", "#e9b872", "#3a3a33", "#0a0d0b", "#e63946", "#070908"),
    },
}
TAGLINES: dict[SceneKind, tuple[str, ...]] = {
    "neon": ("Catch the light before dawn", "One night. A sky full of sparks", "Outrun the falling stars"),
    "ocean": ("The tide brings down the stars", "Every wave hides a wish", "Bring the night safely home"),
    "forest": ("Gather the light among the pines", "The woods are full of wishes", "Follow the fireflies home"),
}
STYLE_OF_MUSIC: dict[SceneKind, MusicStyle] = {"neon": "synthwave", "ocean": "ambient", "forest": "chiptune"}
MODE_OF_MUSIC: dict[Mood, Mode] = {"bright": "major", "dreamy": "dorian", "tense": "minor"}
TEMPI: dict[Mood, tuple[int, int]] = {"bright": (112, 132), "dreamy": (96, 112), "tense": (124, 140)}
TREASURES: dict[SceneKind, Treasure] = {"neon": "star", "ocean": "gem", "forest": "lantern"}
HORIZONS: dict[SceneKind, float] = {"neon": 0.6, "ocean": 0.58, "forest": 0.66}


class Brief(BaseModel):
    """The client's brief. Missing fields are derived from the others."""

    title: str
    style: SceneKind
    mood: Mood = "dreamy"
    tagline: str | None = None
    accent: Colour | None = None
    difficulty: Difficulty = "normal"


class PlanRequest(BaseModel):
    """Input of `planning.generate_campaign_plan`."""

    brief: Brief


@skill("planning.generate_campaign_plan", version="1")
async def generate_campaign_plan(request: PlanRequest, ctx: StepContext) -> Campaign:
    """Derive colours, scene, music and words from a brief; the same brief always gives the same plan."""
    brief = request.brief
    draw = chance("plan", brief.model_dump())
    ctx.progress(0.3, "choosing colours")
    sky, horizon, glow, far, near, accent, ink = PALETTES[brief.style][brief.mood]
    slowest, fastest = TEMPI[brief.mood]
    ctx.progress(0.7, "choosing music")
    taglines = TAGLINES[brief.style]
    return Campaign(
        scene=Scene(kind=brief.style, horizon=HORIZONS[brief.style], seed=seed_of("scene", brief.title, brief.style)),
        palette=Palette(
            sky=sky,
            horizon=horizon,
            glow=glow,
            far=far,
            near=near,
            accent=brief.accent or accent,
            ink=ink,
        ),
        music=Music(
            style=STYLE_OF_MUSIC[brief.style],
            tempo=int(draw.integers(slowest, fastest + 1)),
            root=int(draw.integers(45, 53)),
            mode=MODE_OF_MUSIC[brief.mood],
        ),
        texts=Texts(
            title=brief.title,
            tagline=brief.tagline or taglines[int(draw.integers(len(taglines)))],
            start="Start",
            win="You made it!",
            lose="The night won",
        ),
        difficulty=brief.difficulty,
        treasure=TREASURES[brief.style],
    )
