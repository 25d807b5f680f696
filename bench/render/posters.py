"""The five posters, each a page of HTML that refers to nothing outside itself.

Photos are made here, by seed, so that no picture has to be kept and everybody has the same.
"""

import base64
import io
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image, ImageFilter

FOLDER = Path(__file__).parent / "posters"


@cache
def jpeg(seed: int, width: int, height: int) -> bytes:
    """A picture that compresses like a photo: soft areas, edges, grain. Sizes in pixels."""
    chance = random.Random(seed)
    small = Image.frombytes("RGB", (24, 20), chance.randbytes(24 * 20 * 3))
    soft = small.resize((width, height), Image.Resampling.BICUBIC)
    edges = small.resize((width, height), Image.Resampling.NEAREST)
    grain = Image.frombytes("L", (width, height), chance.randbytes(width * height)).convert("RGB")
    mixed = Image.blend(Image.blend(soft, edges, 0.25), grain, 0.06)
    out = io.BytesIO()
    mixed.filter(ImageFilter.GaussianBlur(0.6)).save(out, "JPEG", quality=85)
    return out.getvalue()


@cache
def photo(seed: int, width: int, height: int) -> str:
    """The same as a data: URL."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(seed, width, height)).decode()


@dataclass(frozen=True)
class Poster:
    """A page and how it is rendered; sizes in CSS pixels."""

    name: str
    title: str
    width: int
    height: int
    full_page: bool = False

    @property
    def wish(self) -> dict[str, Any]:
        """The body of the request, the same for everybody."""
        return {
            "html": html(self.name), "width": self.width, "height": self.height,
            "full_page": self.full_page,
        }  # fmt: skip


@cache
def html(name: str) -> str:
    """The page of a poster."""
    template = jinja2.Template((FOLDER / f"{name}.html").read_text(), autoescape=False)
    text: str = template.render(photo=photo)
    return text


POSTERS = (
    Poster("gradient", "gradient and shadows", 750, 1334),
    Poster("photo", "photos", 750, 1334),
    Poster("chinese", "Chinese text", 750, 1334),
    Poster("long", "long page, whole", 750, 1334, full_page=True),
    Poster("card", "plain card", 600, 315),
)
REFERENCE = POSTERS[0]
