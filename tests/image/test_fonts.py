"""The scripts that people write in are drawn by the image; and fonts of a volume are found."""

import hashlib
from pathlib import Path

import pytest

from tests.generated_fonts import font_file
from tests.image.harness import LOCKED_DOWN, Engine, container
from tests.web.pictures import at, decode

SCRIPTS = {
    "Thai": "สวัสดี", "Hindi": "नमस्ते", "Bengali": "বাংলা", "Tamil": "தமிழ்", "Khmer": "ខ្មែរ",
    "Burmese": "မြန်မာ", "Amharic": "አማርኛ", "Arabic": "العربية", "Hebrew": "עברית",
    "Telugu": "తెలుగు", "Kannada": "ಕನ್ನಡ", "Malayalam": "മലയാളം", "Gujarati": "ગુજરાતી",
    "Gurmukhi": "ਪੰਜਾਬੀ", "Odia": "ଓଡ଼ିଆ", "Sinhala": "සිංහල", "Lao": "ລາວ", "Tibetan": "བོད",
    "Georgian": "ქართული", "Armenian": "Հայերեն", "Mongolian": "ᠮᠣᠩᠭᠣᠯ", "Cherokee": "ᏣᎳᎩ",
    "Syriac": "ܣܘܪ", "Thaana": "ދިވެހި", "Javanese": "ꦗꦮ", "Tifinagh": "ⵜⵉⴼ", "NKo": "ߒߞߏ",
    "symbols": "★☎♞⚙✂⏰⌘", "mathematics": "𝒜𝔸𝐱∑∫ℝ⊕", "flags": "🇩🇪🇯🇵",
    "joined": "👩‍👩‍👧‍👦🏳️‍🌈", "keycaps": "1️⃣#️⃣", "Chinese": "直骨", "Korean": "한글",
}  # fmt: skip
PAGE = "<!doctype html><body style='margin:0;font:40px sans-serif'>"


async def test_every_script_in_use_is_drawn(engine: Engine, image: str) -> None:
    """No warning, and no two characters of one script look alike, as boxes would."""
    async with container(engine, *LOCKED_DOWN, image=image) as one:
        box = await one.picture(html=PAGE + "\u0378", width=200, height=80)
        for name, text in SCRIPTS.items():
            whole = await one.picture(html=PAGE + text, width=200, height=80)
            assert whole != box, name
            letters = [letter for letter in text if letter.isalpha()][:3]
            drawn = {
                hashlib.sha256(await one.picture(html=PAGE + letter, width=200, height=80)).digest()
                for letter in letters
            }
            assert len(drawn) == len(set(letters)), name
            assert hashlib.sha256(box).digest() not in drawn, name


@pytest.mark.parametrize("options", [(), LOCKED_DOWN], ids=["plain", "locked down"])
async def test_fonts_of_a_volume_are_used(
    engine: Engine, image: str, work_dir: Path, options: tuple[str, ...]
) -> None:
    """POSTER_FONTS names where it is mounted; nothing is written to it."""
    file = work_dir / "brand.ttf"
    file.write_bytes(font_file(0x41, family="Brand"))
    file.chmod(0o644)
    work_dir.chmod(0o755)
    volume = (f"--volume={work_dir}:/fonts:ro", "--env=POSTER_FONTS=/fonts")
    async with container(engine, *options, *volume, image=image) as one:
        page = "<!doctype html><body style='margin:0;font:40px/40px Brand'>A"
        picture = decode(await one.picture(html=page, width=60, height=60))
        assert at(picture, 3, 3) == at(picture, 37, 37) == (0, 0, 0, 255)


async def test_webgl_can_be_switched_on(engine: Engine, image: str) -> None:
    """What paints it is in the image, and works without any privilege."""
    page = (
        "<!doctype html><body style='margin:0'><canvas id=c></canvas><script>"
        "const g = c.getContext('webgl', {preserveDrawingBuffer: true});"
        "g.clearColor(1, 0, 0, 1); g.clear(g.COLOR_BUFFER_BIT)</script>"
    )
    options = (*LOCKED_DOWN, "--env=POSTER_WEBGL=1")
    async with container(engine, *options, image=image) as one:
        picture = decode(await one.picture(html=page, width=60, height=60))
        assert at(picture, 20, 20) == (255, 0, 0, 255)
