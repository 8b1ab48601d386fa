"""Pictures: the poster that opens the campaign, and the search for the button on it."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import BaseModel

from orchestrator import SkillError, StepContext, skill

from .lettering import Lettering, caption, headline
from .plan import Colour, Palette, Scene
from .scene import add_light, blend, light_of, paint_scene, rgb

WIDTH, HEIGHT = 960, 540
TOLERANCE = 24  # the largest difference per channel between a pixel of the button and the button's colour
SMALLEST_BUTTON = 400  # pixels; smaller areas of the same colour are ignored


class IntroRequest(BaseModel):
    """Input of `image.generate_intro`."""

    title: str
    tagline: str
    button: str
    palette: Palette
    scene: Scene


class IntroPicture(BaseModel):
    """The properties of the poster that later steps need; `light` is in fractions of width and height."""

    width: int
    height: int
    light: tuple[float, float]
    button: Colour


def png(picture: Image.Image) -> bytes:
    """Return a picture as PNG, encoded the same way every time."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


@skill("image.generate_intro", version="1")
def generate_intro(request: IntroRequest, ctx: StepContext) -> IntroPicture:
    """Paint the poster: the scene, the title and a start button."""
    ctx.progress(0.1, "painting the scene")
    poster = paint_scene(request.scene, request.palette, WIDTH, HEIGHT)
    ctx.progress(0.6, "lettering")
    palette = request.palette
    title = Lettering(request.title, HEIGHT * 0.17, 0.03).fitted(WIDTH * 0.84)
    headline(poster, (WIDTH / 2, HEIGHT * 0.22), title, (palette.glow, palette.accent, palette.ink))
    tagline = Lettering(request.tagline.upper(), HEIGHT * 0.037, 0.2).fitted(WIDTH * 0.8)
    caption(poster, (WIDTH / 2, HEIGHT * 0.22 + title.size * 0.95), tagline, blend(palette.glow, "#ffffff", 0.6))
    ctx.progress(0.8, "drawing the button")
    _draw_button(poster, request.button, palette)
    ctx.artifact(png(poster), type="image/png", filename="intro.png", metadata={"width": WIDTH, "height": HEIGHT})
    return IntroPicture(width=WIDTH, height=HEIGHT, light=light_of(request.scene), button=palette.accent)


def _draw_button(poster: Image.Image, label: str, palette: Palette) -> None:
    word = Lettering(label, HEIGHT * 0.066, 0.03).fitted(WIDTH * 0.3)
    half = max(WIDTH * 0.11, word.width / 2 + WIDTH * 0.05)
    middle, tall = HEIGHT * 0.82, HEIGHT * 0.062
    box = (WIDTH / 2 - half, middle - tall, WIDTH / 2 + half, middle + tall)
    add_light(poster, (WIDTH / 2, middle), half * 1.5, rgb(palette.accent), 0.35)
    # Edges are drawn in grey at four times the size and used as masks; otherwise they would be jagged.
    for grow, down, colour in (
        (5, 3, blend(palette.accent, palette.ink, 0.75)),
        (2, 0, blend(palette.accent, "#ffffff", 0.7)),
        (0, 0, rgb(palette.accent)),
    ):
        mask = Image.new("L", (poster.width * 4, poster.height * 4), 0)
        outline = (box[0] - grow, box[1] - grow + down, box[2] + grow, box[3] + grow + down)
        ImageDraw.Draw(mask).rounded_rectangle([4 * edge for edge in outline], 4 * (tall + grow), fill=255)
        poster.paste(colour, (0, 0), mask.resize(poster.size, Image.Resampling.BOX))
    poster.paste(rgb(palette.ink), (0, 0), word.mask(poster.size, (WIDTH / 2, middle - 1), 0.03))


@dataclass(frozen=True)
class SegmentRequest:
    """Input of `image.segment_button`: the picture, and the colour of the button (`#rrggbb`)."""

    picture: dict[str, Any]
    colour: str


@dataclass(frozen=True)
class Segment:
    """The location of the button: `bbox` is left, top, width, height in pixels, `coverage` its share of the picture."""

    bbox: tuple[int, int, int, int]
    centre: tuple[int, int]
    coverage: float


@skill("image.segment_button", version="1")
def segment_button(request: SegmentRequest, ctx: StepContext) -> Segment:
    """Find the button in the picture and cut out its shape.

    Raises:
        SkillError: `BUTTON_NOT_FOUND`, not retryable, because the picture stays the same.
    """
    picture = Image.open(io.BytesIO(ctx.read_artifact(request.picture))).convert("RGB")
    ctx.progress(0.3, "looking for the button")
    mask = find_button(np.asarray(picture), request.colour)
    if mask is None:
        raise SkillError("BUTTON_NOT_FOUND", f"no area of colour {request.colour} in the picture", retryable=False)
    rows, columns = np.nonzero(mask)
    left, top = int(columns.min()), int(rows.min())
    width, height = int(columns.max()) - left + 1, int(rows.max()) - top + 1
    shape = Image.fromarray(mask.astype(np.uint8) * 255)
    ctx.artifact(png(shape), type="image/png", filename="start_button_mask.png", metadata={"role": "mask"})
    return Segment(
        bbox=(left, top, width, height),
        centre=(left + width // 2, top + height // 2),
        coverage=round(float(mask.mean()), 6),
    )


def find_button(pixels: NDArray[np.uint8], colour: str) -> NDArray[np.bool_] | None:
    """Return a mask of the largest connected area of a colour, with holes (its label) filled; None if there is none.

    `pixels` has the shape (height, width, 3); the result has the shape (height, width).
    """
    apart = np.abs(pixels.astype(np.int16) - np.asarray(rgb(colour), np.int16))
    alike: NDArray[np.bool_] = apart.max(axis=2) <= TOLERANCE
    # Run-length labelling: the runs of each row are merged with those they touch in the row above.
    runs: list[tuple[int, int, int]] = []
    parent: list[int] = []
    above: list[int] = []

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for row in np.flatnonzero(alike.any(axis=1)).tolist():
        edges = np.flatnonzero(np.diff(alike[row], prepend=False, append=False))
        here = []
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            number = len(runs)
            runs.append((row, start, end))
            parent.append(number)
            here.append(number)
            for other in above:
                if runs[other][0] == row - 1 and runs[other][1] < end and start < runs[other][2]:
                    parent[root(other)] = root(number)
        above = here
    areas: dict[int, int] = {}
    for number, (_, start, end) in enumerate(runs):
        areas[root(number)] = areas.get(root(number), 0) + end - start
    if not areas or max(areas.values()) < SMALLEST_BUTTON:
        return None
    largest = max(areas, key=lambda area: areas[area])
    found = np.zeros(alike.shape, dtype=np.bool_)
    for number, (row, start, end) in enumerate(runs):
        if root(number) == largest:
            found[row, start:end] = True
    for row in np.flatnonzero(found.any(axis=1)).tolist():
        columns = np.flatnonzero(found[row])
        found[row, columns[0] : columns[-1] + 1] = True
    return found
