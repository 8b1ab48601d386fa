"""The backdrop of every picture, painted from the plan: sky, sun or moon, land and foreground."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .plan import Palette, Scene
from .seed import chance

# Scenes are drawn at twice the size and scaled down, to smooth the hard edges that Pillow draws.
OVERSAMPLING = 2

Amounts = NDArray[np.float32]
RGB = tuple[int, int, int]


def rgb(colour: str) -> RGB:
    """Return a `#rrggbb` colour as three numbers from 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def blend(first: str, second: str, amount: float) -> RGB:
    """Return the colour that lies `amount` (0 to 1) of the way from the first to the second."""
    return mix(rgb(first), rgb(second), amount)


def mix(start: RGB, end: RGB, amount: float) -> RGB:
    """Return the colour that lies `amount` (0 to 1) of the way from start to end."""
    red, green, blue = (round(a + (b - a) * amount) for a, b in zip(start, end, strict=True))
    return red, green, blue


def fade(top: RGB, foot: RGB, amounts: Amounts, width: int) -> Image.Image:
    """Return a picture `width` pixels wide with one row for each amount, from 0 (all top) to 1 (all foot)."""
    start, end = np.asarray(top, np.float32), np.asarray(foot, np.float32)
    column = start + (end - start) * amounts[:, None]
    return Image.fromarray(np.repeat(column[:, None, :], width, axis=1).astype(np.uint8))


def paint_scene(scene: Scene, palette: Palette, width: int, height: int) -> Image.Image:
    """Return the backdrop as an RGB picture of `width` x `height` pixels."""
    wide, high = width * OVERSAMPLING, height * OVERSAMPLING
    # The sky is palest at the horizon.
    amounts = np.clip(np.linspace(0, 1 / scene.horizon, high, dtype=np.float32), 0, 1) ** 1.4
    canvas = fade(rgb(palette.sky), rgb(palette.horizon), amounts, wide)
    _stars(canvas, scene, palette)
    LANDSCAPES[scene.kind](canvas, scene, palette)
    return _vignette(canvas.resize((width, height), Image.Resampling.BOX))


def add_light(canvas: Image.Image, centre: tuple[float, float], radius: float, colour: RGB, strength: float) -> None:
    """Brighten the canvas around a point (pixels): fully at the centre, fading to nothing at `radius`."""
    left, top = max(0, int(centre[0] - radius)), max(0, int(centre[1] - radius))
    right, bottom = min(canvas.width, int(centre[0] + radius)), min(canvas.height, int(centre[1] + radius))
    if left >= right or top >= bottom:
        return
    columns = np.arange(left, right, dtype=np.float32) - centre[0]
    rows = np.arange(top, bottom, dtype=np.float32) - centre[1]
    near = np.clip(1 - np.hypot(columns[None, :], rows[:, None]) / radius, 0, 1) ** 2 * strength
    box = (left, top, right, bottom)
    pixels = np.asarray(canvas.crop(box), dtype=np.float32)
    lit = pixels + (255 - pixels) * near[..., None] * np.asarray(colour, dtype=np.float32) / 255
    canvas.paste(Image.fromarray(lit.astype(np.uint8)), box)


def light_of(scene: Scene) -> tuple[float, float]:
    """Return the position of the sun or moon, in fractions of width and height."""
    if scene.kind == "neon":
        return 0.5, scene.horizon - 0.13
    side = 0.24 if scene.seed % 2 else 0.76
    return side, scene.horizon - (0.2 if scene.kind == "ocean" else 0.34)


def _stars(canvas: Image.Image, scene: Scene, palette: Palette) -> None:
    draw_at = chance("stars", scene.seed)
    draw = ImageDraw.Draw(canvas, "RGBA")
    width, height = canvas.size
    for _ in range(150):
        x, depth, size = draw_at.random(), draw_at.random() ** 1.6, draw_at.random() ** 3
        y = depth * scene.horizon * 0.9 * height
        radius = (0.5 + 1.3 * size) * height / 1080
        colour = (*rgb(palette.glow), round(255 * (0.35 + 0.65 * size) * (1 - 0.8 * depth)))
        draw.ellipse((x * width - radius, y - radius, x * width + radius, y + radius), fill=colour)


def _disc(canvas: Image.Image, scene: Scene, palette: Palette, radius: float, halo: float) -> tuple[float, float]:
    """Draw the sun or moon with its halo; `radius` and `halo` are fractions of the height."""
    across, down = light_of(scene)
    centre = across * canvas.width, down * canvas.height
    add_light(canvas, centre, halo * canvas.height, rgb(palette.glow), 0.75)
    size = radius * canvas.height
    box = (centre[0] - size, centre[1] - size, centre[0] + size, centre[1] + size)
    ImageDraw.Draw(canvas).ellipse(box, fill=rgb(palette.glow))
    return centre


def _ridge(canvas: Image.Image, seed: list[Any], level: float, rough: float, colour: RGB) -> None:
    """Fill everything below a line of hills; `level` and `rough` are fractions of the height."""
    draw_at = chance(*seed)
    across = np.linspace(0, 1, canvas.width // 4)
    line = np.zeros_like(across)
    for octave in range(1, 6):
        line += np.sin(across * math.tau * octave * 1.3 + draw_at.random() * math.tau) / octave**1.15
    tops = (level - rough * line / 2) * canvas.height
    points = [(float(x * canvas.width), float(y)) for x, y in zip(across, tops, strict=True)]
    corners = [(float(canvas.width), float(canvas.height)), (0.0, float(canvas.height))]
    ImageDraw.Draw(canvas).polygon([*points, *corners], fill=colour)


def _neon(canvas: Image.Image, scene: Scene, palette: Palette) -> None:
    width, height = canvas.size
    horizon = round(scene.horizon * height)
    x, y = light_of(scene)[0] * width, light_of(scene)[1] * height
    size = 0.24 * height
    add_light(canvas, (x, y), 0.75 * height, rgb(palette.horizon), 0.9)
    # A sun that fades from glow to horizon, cut by bars that widen towards the ground.
    across = round(2 * size)
    sun = fade(rgb(palette.glow), rgb(palette.horizon), np.linspace(0, 1, across, dtype=np.float32), across)
    mask = Image.new("L", sun.size, 0)
    pen = ImageDraw.Draw(mask)
    pen.ellipse((0, 0, sun.width - 1, sun.height - 1), fill=255)
    for bar in range(7):
        top = (0.42 + bar * 0.085) * sun.height
        pen.rectangle((0, top, sun.width, top + (0.008 + bar * 0.006) * sun.height), fill=0)
    canvas.paste(sun, (round(x - size), round(y - size)), mask)
    _ridge(canvas, ["far", scene.seed], scene.horizon - 0.03, 0.1, blend(palette.far, palette.horizon, 0.25))
    _ridge(canvas, ["mid", scene.seed], scene.horizon - 0.005, 0.07, blend(palette.far, palette.near, 0.6))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, horizon, width, height), fill=rgb(palette.near))
    line = blend(palette.near, palette.accent, 0.55)
    for column in range(-30, 31):
        foot = width / 2 + column * width / 9
        draw.line((width / 2 + column * width / 60, horizon, foot, height), fill=line, width=max(1, height // 540))
    for row in range(1, 15):
        level = horizon + (height - horizon) * (row / 14) ** 2.2
        draw.line((0, level, width, level), fill=line, width=max(1, height // 540))
    draw.line((0, horizon, width, horizon), fill=rgb(palette.accent), width=max(2, height // 270))
    add_light(canvas, (width / 2, horizon), 0.7 * height, rgb(palette.horizon), 0.35)


def _ocean(canvas: Image.Image, scene: Scene, palette: Palette) -> None:
    width, height = canvas.size
    horizon = round(scene.horizon * height)
    x, _ = _disc(canvas, scene, palette, 0.1, 0.6)
    _ridge(canvas, ["isles", scene.seed], scene.horizon - 0.005, 0.05, blend(palette.far, palette.horizon, 0.45))
    depths = np.linspace(0, 1, height - horizon, dtype=np.float32) ** 0.6
    canvas.paste(fade(blend(palette.horizon, palette.far, 0.5), rgb(palette.near), depths, width), (0, horizon))
    draw = ImageDraw.Draw(canvas)
    draw_at = chance("waves", scene.seed)
    for _ in range(420):
        depth = float(draw_at.random()) ** 1.5
        level = horizon + depth * (height - horizon)
        spread = (0.03 + 0.2 * depth) * width
        middle = x + float(draw_at.normal()) * spread
        length = (0.006 + 0.045 * depth) * width * float(draw_at.random())
        near = math.exp(-(((middle - x) / (2.2 * spread)) ** 2))
        colour = blend(palette.near, palette.glow, (0.25 + 0.6 * near) * (1 - 0.55 * depth))
        thick = max(1, round((0.8 + 2.2 * depth) * height / 1080))
        draw.line((middle - length, level, middle + length, level), fill=colour, width=thick)
    _lighthouse(canvas, scene, palette)


def _lighthouse(canvas: Image.Image, scene: Scene, palette: Palette) -> None:
    """Draw a headland with a lighthouse, on the side without the moon."""
    right = light_of(scene)[0] < 0.5
    side = 1 if right else -1
    foot, level = canvas.width * (0.86 if right else 0.14), scene.horizon * canvas.height
    ink = blend(palette.near, palette.ink, 0.6)
    unit = canvas.height

    def at(across: float, up: float) -> tuple[float, float]:
        """Return a point: `across` towards the sea, `up` from the horizon, both in fractions of the height."""
        return foot - side * across * unit, level - up * unit

    lamp = 0.21
    _beam(canvas, [at(0, lamp + 0.012), at(1.33, lamp + 0.2), at(1.33, lamp + 0.03)], right, rgb(palette.glow))
    draw = ImageDraw.Draw(canvas)
    shore = [(0.3, -0.1), (0.2, -0.035), (0.09, 0.02), (-0.1, 0.03), (-0.26, 0.075), (-0.26, -0.17), (0.09, -0.13)]
    draw.polygon([at(*point) for point in shore], fill=ink)
    tower = [(0.022, 0), (0.014, lamp), (0.019, lamp), (0.019, lamp + 0.006), (0.011, lamp + 0.006)]
    roof = [(0.011, lamp + 0.03), (0.016, lamp + 0.03), (0, lamp + 0.052)]
    half = [*tower, *roof]
    draw.polygon([at(*point) for point in half] + [at(-across, up) for across, up in reversed(half)], fill=ink)
    window = [(0.009, lamp + 0.008), (0.009, lamp + 0.028), (-0.009, lamp + 0.028), (-0.009, lamp + 0.008)]
    draw.polygon([at(*point) for point in window], fill=rgb(palette.glow))
    add_light(canvas, at(0, lamp + 0.018), 0.13 * unit, rgb(palette.glow), 0.9)


def _beam(canvas: Image.Image, corners: list[tuple[float, float]], from_right: bool, colour: RGB) -> None:
    """Draw a beam of light that widens and fades over the sea."""
    shape = Image.new("L", canvas.size, 0)
    ImageDraw.Draw(shape).polygon(corners, fill=90)
    fading = np.linspace(0, 1, canvas.width, dtype=np.float32) ** 1.5
    soft = np.asarray(shape.filter(ImageFilter.BoxBlur(canvas.height // 180)), np.float32)
    mask = soft * (fading if from_right else fading[::-1])[None, :]
    canvas.paste(Image.new("RGB", canvas.size, colour), (0, 0), Image.fromarray(mask.astype(np.uint8)))


def _forest(canvas: Image.Image, scene: Scene, palette: Palette) -> None:
    width, height = canvas.size
    _disc(canvas, scene, palette, 0.085, 0.7)
    for layer in range(5):
        depth = layer / 4
        level = scene.horizon - 0.16 + 0.4 * depth**1.2
        colour = blend(palette.far, palette.near, depth)
        misty = mix(colour, rgb(palette.horizon), 0.55 * (1 - depth) ** 1.3)
        _ridge(canvas, ["hill", layer, scene.seed], level, 0.07, misty)
        _pines(canvas, ["pines", layer, scene.seed], level, 0.05 + 0.2 * depth**1.5, misty)
    draw_at = chance("fireflies", scene.seed)
    for _ in range(26):
        spot = (float(draw_at.random()) * width, (scene.horizon + 0.3 * float(draw_at.random())) * height)
        add_light(canvas, spot, (0.012 + 0.02 * float(draw_at.random())) * height, rgb(palette.glow), 1.0)


def _pines(canvas: Image.Image, seed: list[Any], level: float, tall: float, colour: RGB) -> None:
    """Draw a row of pines; `level` and `tall` are fractions of the height."""
    width, height = canvas.size
    draw_at = chance(*seed)
    draw = ImageDraw.Draw(canvas)
    for _ in range(round(5 / tall)):
        x, size = float(draw_at.random()) * width, tall * (0.55 + 0.6 * float(draw_at.random())) * height
        foot = (level + 0.05) * height
        for tier in range(4):
            top = foot - size * (1 - tier * 0.2)
            half = size * (0.07 + 0.06 * tier)
            draw.polygon([(x - half, top + size * 0.36), (x, top), (x + half, top + size * 0.36)], fill=colour)
        draw.rectangle((x - size * 0.02, foot - size * 0.1, x + size * 0.02, foot + size * 0.3), fill=colour)


LANDSCAPES: dict[str, Callable[[Image.Image, Scene, Palette], None]] = {
    "neon": _neon,
    "ocean": _ocean,
    "forest": _forest,
}


def _vignette(picture: Image.Image) -> Image.Image:
    """Darken the corners a little, to lead the eye to the middle."""
    columns = np.linspace(-1, 1, picture.width, dtype=np.float32) ** 2
    rows = np.linspace(-1, 1, picture.height, dtype=np.float32) ** 2
    shade = 1 - 0.28 * np.clip(columns[None, :] + rows[:, None] - 0.5, 0, 1)
    return Image.fromarray((np.asarray(picture, np.float32) * shade[..., None]).astype(np.uint8))
