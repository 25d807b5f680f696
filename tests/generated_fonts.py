"""Fonts generated for a test, whose every glyph is one filled square."""

import io
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib.tables._g_l_y_f import Glyph

from poster_service.browser.font_list import SAMPLES

#: A family whose name must be escaped in HTML, CSS and JSON.
BRAND = 'A Brand\'s "own" \\ <b>'


def font_file(*code_points: int, family: str = "Test") -> bytes:
    """A font whose glyphs are full squares."""
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for point in ((0, 0), (0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(point) if pen.points else pen.moveTo(point)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap(dict.fromkeys(code_points, "square"))
    builder.setupGlyf({".notdef": Glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=1000, usWinAscent=1000)
    builder.setupPost()
    file = io.BytesIO()
    builder.font.save(file)
    return file.getvalue()


def branded_folder(parent: Path) -> Path:
    """A folder with a font of squares for the letters of the Latin sample, with an odd name."""
    found = parent / "own fonts"
    found.mkdir(mode=0o755)
    file = found / "square.ttf"
    file.write_bytes(font_file(*map(ord, SAMPLES["Latin"]), family=BRAND))
    file.chmod(0o644)
    return found
