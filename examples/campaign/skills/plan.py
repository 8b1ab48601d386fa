"""The types of a campaign plan, which every later step reads."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
SceneKind = Literal["neon", "ocean", "forest"]
Difficulty = Literal["easy", "normal", "hard"]
Mood = Literal["bright", "dreamy", "tense"]
Mode = Literal["major", "minor", "dorian"]
Treasure = Literal["gem", "lantern", "star"]
MusicStyle = Literal["synthwave", "chiptune", "ambient"]


class Palette(BaseModel):
    """The colours of all pictures, as `#rrggbb`."""

    sky: Colour
    horizon: Colour
    glow: Colour
    far: Colour
    near: Colour
    accent: Colour
    ink: Colour


class Scene(BaseModel):
    """The scene in the pictures. `horizon` is a fraction of the picture's height, from the top."""

    kind: SceneKind
    horizon: float
    seed: int


class Music(BaseModel):
    """The music of the campaign. `tempo` is in beats per minute, `root` is a MIDI note number."""

    style: MusicStyle
    tempo: int
    root: int
    mode: Mode


class Texts(BaseModel):
    """The texts of the campaign."""

    title: str
    tagline: str
    start: str
    win: str
    lose: str


class Campaign(BaseModel):
    """The plan of one campaign."""

    scene: Scene
    palette: Palette
    music: Music
    texts: Texts
    difficulty: Difficulty
    treasure: Treasure
