"""Text on pictures: Pillow's built-in font, styled with weight, spacing, gradient and glow.

Sizes are in pixels. `weight` thickens letters and `tracking` adds space between them; both are fractions of the size.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from .scene import RGB, fade, rgb

Point = tuple[float, float]


@dataclass(frozen=True)
class Lettering:
    """A line of text with its size."""

    text: str
    size: float
    tracking: float = 0.0

    @property
    def font(self) -> ImageFont.FreeTypeFont:
        """Return Pillow's built-in font, which is the same on every machine."""
        face = ImageFont.load_default(self.size)
        if not isinstance(face, ImageFont.FreeTypeFont):
            raise TypeError("Pillow was built without FreeType")
        return face

    @property
    def width(self) -> float:
        """Return the width of the line in pixels."""
        return sum(map(self.font.getlength, self.text)) + self.tracking * self.size * (len(self.text) - 1)

    def fitted(self, width: float) -> "Lettering":
        """Return the line, reduced in size if it is wider than `width`."""
        return Lettering(self.text, self.size * min(1.0, width / max(self.width, 1)), self.tracking)

    def mask(self, size: tuple[int, int], centre: Point, weight: float = 0.0) -> Image.Image:
        """Return a greyscale mask, white where the letters are, with the line centred on a point."""
        mask = Image.new("L", size, 0)
        draw = ImageDraw.Draw(mask)
        face, left = self.font, centre[0] - self.width / 2
        for letter in self.text:
            draw.text((left, centre[1]), letter, 255, face, "lm", stroke_width=weight * self.size)
            left += face.getlength(letter) + self.tracking * self.size
        return mask


def headline(picture: Image.Image, centre: Point, line: Lettering, colours: tuple[str, str, str]) -> None:
    """Write a title into the picture.

    Args:
        picture: changed in place.
        centre: the middle of the line, in pixels.
        line: the text to write.
        colours: the colours of the top of the letters, their foot, and their shadow and halo.
    """
    top, foot, shadow = colours
    bold = line.mask(picture.size, (centre[0], centre[1] + line.size * 0.05), 0.085)
    halo = bold.filter(ImageFilter.GaussianBlur(line.size * 0.22)).point(lambda level: min(255, level * 1.5))
    picture.paste(rgb(shadow), (0, 0), ImageChops.multiply(halo, Image.new("L", halo.size, 190)))
    picture.paste(rgb(shadow), (0, 0), bold)
    amounts = np.clip((np.arange(picture.height) - centre[1]) / line.size + 0.5, 0, 1).astype(np.float32)
    ink = fade(rgb(top), rgb(foot), amounts, picture.width)
    picture.paste(ink, (0, 0), line.mask(picture.size, centre, 0.035))


def caption(picture: Image.Image, centre: Point, line: Lettering, colour: RGB) -> None:
    """Write small text around a centre, with a soft shadow so that it is readable on any background."""
    letters = line.mask(picture.size, centre, 0.012)
    shadow = letters.filter(ImageFilter.GaussianBlur(line.size * 0.2)).point(lambda level: min(255, level * 3))
    picture.paste((0, 0, 0), (0, 0), ImageChops.multiply(shadow, Image.new("L", shadow.size, 170)))
    picture.paste(colour, (0, 0), letters)
