"""QR codes: what a phone would read of them."""

import re

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from poster_service.render.qr import qr_svg

#: Pixels of a module in the picture that is read.
SCALE = 6


def painted(svg: str) -> Image.Image:
    """The code as a picture, by the numbers in its SVG."""
    found = re.match(r'<svg viewBox="0 0 (\d+) \1"', svg)
    assert found
    side = int(found[1]) * SCALE
    picture = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(picture)
    (path,) = re.findall(r'stroke="#1a1a1a" d="([^"]*)"', svg)
    for across, down, run in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path):
        left, top = int(across) * SCALE, int(down) * SCALE
        draw.rectangle((left, top, left + int(run) * SCALE - 1, top + SCALE - 1), fill=0)
    return picture


@pytest.mark.parametrize(
    "link",
    [
        "https://shop.example/p/1234567890?utm_source=poster&sku=ABC-123",
        "x",
        "https://例子.example/货物?名=杯子",
        "https://example.com/é€ąę😀",
        "a" * 2000,
    ],
)
def test_what_is_read_is_the_link(link: str) -> None:
    """With error correction level M, in any script."""
    (code,) = zxingcpp.read_barcodes(painted(str(qr_svg(link))))
    assert (code.text, code.format, code.ec_level) == (link, zxingcpp.BarcodeFormat.QRCode, "M")


def test_the_quiet_zone_is_four_modules_of_light() -> None:
    """On each side; readers need it."""
    picture = painted(str(qr_svg("https://example.com")))
    box = Image.eval(picture, lambda value: 255 - value).getbbox()
    zone = 4 * SCALE
    assert box == (zone, zone, picture.width - zone, picture.height - zone)


@pytest.mark.parametrize("link", ["", "a" * 3000])
def test_a_link_that_no_code_holds_is_refused(link: str) -> None:
    """Nothing is cut off."""
    with pytest.raises(ValueError, match=r"data|long"):
        qr_svg(link)
