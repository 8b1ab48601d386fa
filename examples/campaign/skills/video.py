"""Looping animations: the animated poster, and the scenes for winning and losing."""

import io
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance
from pydantic import BaseModel

from orchestrator import SkillError, StepContext, skill

from .image import find_button
from .lettering import Lettering, headline
from .plan import Colour, Palette, Scene
from .scene import RGB, add_light, blend, paint_scene, rgb
from .seed import chance

WIDTH, HEIGHT = 480, 270
FRAMES = 24
FRAME_MS = 80

Turn = float
"""The position of a frame in the loop, from 0 to 1. Everything that moves must be in the same place at 1 as at 0."""


class LoopRequest(BaseModel):
    """Input of `video.generate_loop`; `light` is in fractions of width and height."""

    picture: dict[str, Any]
    light: tuple[float, float]
    button: Colour
    palette: Palette
    scene: Scene


class OutcomeRequest(BaseModel):
    """Input of `video.generate_outcome`."""

    outcome: Literal["win", "lose"]
    text: str
    palette: Palette
    scene: Scene


def turns(ctx: StepContext) -> Iterator[Turn]:
    """Yield the turn of each frame, report progress, and stop if the attempt was cancelled.

    Raises:
        SkillError: `SKILL_CANCELLED`.
    """
    for frame in range(FRAMES):
        if ctx.cancelled:
            raise SkillError("SKILL_CANCELLED", f"cancelled at frame {frame} of {FRAMES}", retryable=False)
        ctx.progress(0.9 * frame / FRAMES, f"frame {frame + 1} of {FRAMES}")
        yield frame / FRAMES


def webp(frames: list[Image.Image]) -> bytes:
    """Return frames as an animated WebP that loops forever."""
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, quality=72, method=2
    )
    return buffer.getvalue()


def attach(ctx: StepContext, frames: list[Image.Image], filename: str) -> dict[str, Any]:
    """Attach the animation to the step and return the step's data."""
    facts = {"width": WIDTH, "height": HEIGHT, "frames": len(frames), "durationMs": len(frames) * FRAME_MS}
    ctx.artifact(webp(frames), type="image/webp", filename=filename, metadata=facts)
    return facts


@skill("video.generate_loop", version="1")
def generate_loop(request: LoopRequest, ctx: StepContext) -> dict[str, Any]:
    """Animate the poster: the stars, the light, the ground and the button."""
    poster = Image.open(io.BytesIO(ctx.read_artifact(request.picture))).convert("RGB")
    still = poster.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    button = find_button(np.asarray(still), request.button)
    frames = []
    for turn in turns(ctx):
        frame = still.copy()
        swell = 0.5 - 0.5 * math.cos(turn * math.tau)
        glow = rgb(request.palette.glow)
        centre = request.light[0] * WIDTH, request.light[1] * HEIGHT
        add_light(frame, centre, 0.55 * HEIGHT, glow, 0.3 * swell)
        _twinkle(frame, request.scene, glow, turn)
        _shooting_stars(frame, request.scene, glow, turn)
        GROUNDS[request.scene.kind](frame, request, turn)
        if button is not None:
            rows, columns = np.nonzero(button)
            # The glow surrounds the button, so the button itself is restored afterwards.
            add_light(frame, (float(columns.mean()), float(rows.mean())), 95, rgb(request.button), 0.75 * swell)
            frame.paste(still, (0, 0), Image.fromarray(button.astype(np.uint8) * 255))
        frames.append(frame)
    return attach(ctx, frames, "intro_loop.webp")


def _twinkle(frame: Image.Image, scene: Scene, glow: RGB, turn: Turn) -> None:
    draw_at = chance("twinkle", scene.seed)
    for _ in range(36):
        x, y, phase, size = draw_at.random(), draw_at.random() ** 1.5, draw_at.random(), draw_at.random()
        spot = float(x) * WIDTH, float(y) * scene.horizon * 0.8 * HEIGHT
        strength = max(0.0, math.sin((turn + float(phase)) * math.tau)) ** 2
        add_light(frame, spot, 2.5 + 4 * float(size), glow, strength)


def _shooting_stars(frame: Image.Image, scene: Scene, glow: RGB, turn: Turn) -> None:
    draw_at = chance("shooting", scene.seed)
    for _ in range(3):
        x, y, phase = float(draw_at.random()), float(draw_at.random()) * 0.25, float(draw_at.random())
        flown = ((turn + phase) % 1) / 0.4
        if flown > 1:
            continue
        for tail in range(12):
            along = flown - tail * 0.025
            spot = (x - along * 0.35) * WIDTH, (y + along * 0.3) * HEIGHT
            add_light(frame, spot, 5 - tail * 0.3, glow, math.sin(flown * math.pi) * (1 - tail / 12))


def _glints(frame: Image.Image, request: LoopRequest, turn: Turn) -> None:
    """Draw glints on the water under the moon."""
    draw_at = chance("glints", request.scene.seed)
    pen = ImageDraw.Draw(frame)
    for _ in range(90):
        depth, aside, phase = float(draw_at.random()) ** 1.4, float(draw_at.normal()), float(draw_at.random())
        strength = math.sin((turn + phase) * math.tau)
        if strength <= 0:
            continue
        level = (request.scene.horizon + depth * (1 - request.scene.horizon)) * HEIGHT
        middle = (request.light[0] + aside * (0.03 + 0.12 * depth)) * WIDTH + 5 * math.sin((turn + phase) * math.tau)
        half = (2 + 9 * depth) * strength
        colour = blend(request.palette.far, request.palette.glow, 0.35 + 0.65 * strength * (1 - 0.4 * depth))
        pen.line((middle - half, level, middle + half, level), fill=colour)


def _rolling_grid(frame: Image.Image, request: LoopRequest, turn: Turn) -> None:
    """Draw bars of light that move along the floor towards the player."""
    horizon = request.scene.horizon * HEIGHT
    pen = ImageDraw.Draw(frame, "RGBA")
    for row in range(8):
        along = (row + turn) / 8
        level = horizon + (HEIGHT - horizon) * along**2.2
        colour = (*rgb(request.palette.accent), round(200 * along))
        pen.line((0, level, WIDTH, level), fill=colour, width=1 + round(along))


def _fireflies(frame: Image.Image, request: LoopRequest, turn: Turn) -> None:
    draw_at = chance("wander", request.scene.seed)
    for _ in range(22):
        x, y, phase, reach = (float(draw_at.random()) for _ in range(4))
        angle = (turn + phase) * math.tau
        spot = (
            x * WIDTH + (6 + 14 * reach) * math.cos(angle),
            (request.scene.horizon - 0.05 + 0.37 * y) * HEIGHT + (4 + 8 * reach) * math.sin(2 * angle),
        )
        add_light(frame, spot, 5 + 5 * reach, rgb(request.palette.glow), 0.45 + 0.55 * math.sin(angle) ** 2)


GROUNDS = {"ocean": _glints, "neon": _rolling_grid, "forest": _fireflies}


@skill("video.generate_outcome", version="1")
def generate_outcome(request: OutcomeRequest, ctx: StepContext) -> dict[str, Any]:
    """Animate the end of a game: rays and confetti after a win, rain on a dark scene after a loss."""
    palette = request.palette
    backdrop = paint_scene(request.scene, palette, WIDTH, HEIGHT)
    line = Lettering(request.text, HEIGHT * 0.17, 0.03).fitted(WIDTH * 0.84)
    won = request.outcome == "win"
    if not won:
        backdrop = ImageEnhance.Brightness(ImageEnhance.Color(backdrop).enhance(0.25)).enhance(0.55)
    frames = []
    for turn in turns(ctx):
        frame = backdrop.copy()
        if won:
            _rays(frame, rgb(palette.glow), turn)
            _confetti(frame, request, turn, range(70))
        else:
            _rain(frame, request.scene, turn)
        rise = math.sin(turn * math.tau) * (6 if won else 2)
        colours = (palette.glow, palette.accent, palette.ink) if won else ("#dfe6ee", "#7f8ea3", palette.ink)
        headline(frame, (WIDTH / 2, HEIGHT * 0.46 + rise), line, colours)
        if won:
            _confetti(frame, request, turn, range(70, 100))
        frames.append(frame)
    return {"outcome": request.outcome, **attach(ctx, frames, f"outcome_{request.outcome}.webp")}


def _rays(frame: Image.Image, glow: RGB, turn: Turn) -> None:
    """Draw twelve rays around the middle. They turn by one twelfth, so the loop is seamless."""
    pen = ImageDraw.Draw(frame, "RGBA")
    for ray in range(12):
        angle = (ray + turn) * math.tau / 12
        corners = [
            (WIDTH / 2 + WIDTH * math.cos(angle + side), HEIGHT * 0.46 + WIDTH * math.sin(angle + side))
            for side in (-0.12, 0.12)
        ]
        pen.polygon([(WIDTH / 2, HEIGHT * 0.46), *corners], fill=(*glow, 46))
    add_light(frame, (WIDTH / 2, HEIGHT * 0.46), HEIGHT * 0.8, glow, 0.55)


def _confetti(frame: Image.Image, request: OutcomeRequest, turn: Turn, which: range) -> None:
    colours = [rgb(c) for c in (request.palette.accent, request.palette.glow, request.palette.horizon, "#ffffff")]
    draw_at = chance("confetti", request.scene.seed)
    scraps = draw_at.random((100, 4))
    pen = ImageDraw.Draw(frame)
    for number in which:
        x, start, spin, size = map(float, scraps[number])
        # A whole number of falls per turn brings every piece back to where it began.
        y = (start + turn * (1 + number % 2)) % 1
        angle = (turn * (1 + number % 3) + spin) * math.tau
        middle = x * WIDTH + 8 * math.sin(angle), y * (HEIGHT + 20) - 10
        long, thin = 3 + 4 * size, (3 + 4 * size) * abs(math.cos(angle)) * 0.6 + 0.6
        tilt = spin * math.tau
        across = long * math.cos(tilt), long * math.sin(tilt)
        along = -thin * math.sin(tilt), thin * math.cos(tilt)
        pen.polygon(
            [
                (middle[0] + i * across[0] + j * along[0], middle[1] + i * across[1] + j * along[1])
                for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
            ],
            fill=colours[number % 4],
        )


def _rain(frame: Image.Image, scene: Scene, turn: Turn) -> None:
    draw_at = chance("rain", scene.seed)
    pen = ImageDraw.Draw(frame, "RGBA")
    for _ in range(120):
        x, start, depth = (float(draw_at.random()) for _ in range(3))
        y = (start + turn * (2 if depth < 0.5 else 3)) % 1 * (HEIGHT + 40) - 20
        left = x * (WIDTH + 60) - y * 0.16
        long = 8 + 14 * depth
        pen.line((left, y, left - long * 0.16, y + long), fill=(200, 215, 235, round(60 + 90 * depth)))
