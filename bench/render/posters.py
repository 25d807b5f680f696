"""The five posters, each a page of HTML that refers to nothing outside itself.

Photos are made here, by seed, so that no picture has to be kept and all machines have the same.
"""

import base64
import io
import json
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image, ImageFilter

FOLDER = Path(__file__).parent / "posters"
TEMPLATES = Path(__file__).parents[2] / "templates"


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
    """A page and how it is rendered; sizes in CSS pixels.

    Attributes:
        page: The file in `posters/`, or the bundled template that only ours has; `name` if "".
        scale: Device scale factor.
        is_template: Whether it is a template with its own sample and size.
    """

    name: str
    title: str
    width: int = 0
    height: int = 0
    full_page: bool = False
    page: str = ""
    scale: int = 1
    is_template: bool = False

    @property
    def body(self) -> dict[str, Any]:
        """The body of the request, the same for all peers."""
        scaled = {"device_scale_factor": self.scale} if self.scale != 1 else {}
        page = self.page or self.name
        if self.is_template:
            return {"template": page, "data": sample(page), **scaled}
        return {
            "html": html(page), "width": self.width, "height": self.height,
            "full_page": self.full_page, **scaled,
        }  # fmt: skip


@cache
def sample(template: str) -> Any:
    """The data that a bundled template is shown with."""
    return json.loads((TEMPLATES / template / "sample.json").read_text("utf-8"))


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
#: What phones are sent: the reference poster and the bundled templates, at scale 1 and 2.
SCALED = (
    REFERENCE,
    Poster("gradient-2", "the same, scale 2", 750, 1334, page="gradient", scale=2),
    *(
        Poster(f"{name}-{scale}", f"{name}, scale {scale}", page=name, scale=scale,
               is_template=True)
        for name in ("share-poster", "article-card")
        for scale in (1, 2)
    ),
)  # fmt: skip
