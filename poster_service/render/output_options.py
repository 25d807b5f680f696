"""The options of one picture, PDF or text of a page: what is captured of it, and how.

They stand beside those of the whole page (`options.RenderOptions`), or in each of its `outputs`.
"""

from typing import Annotated, Literal

from pydantic import Field

from poster_service.browser.types import WHITE
from poster_service.render.declaration import DEFAULT_FORMAT, Items, Option, OptionGroup
from poster_service.render.formats import LOSSY, PAINTED, PICTURES, TRANSPARENT, OutputFormat
from poster_service.render.page_options import Selector
from poster_service.render.pdf_options import PdfOptions

DEFAULT_QUALITY = 80
#: Pictures and PDFs of one page, at most; and the form of their names.
MAX_OUTPUTS, OUTPUT_NAME = 10, r"^[a-z0-9][a-z0-9_-]{0,63}$"
CLEAR = (0, 0, 0, 0)

#: Selectors of one output.
MAX_SELECTORS = 20
PngCompression = Literal["fast", "balanced", "small"]
#: In CSS pixels; no picture is longer.
MAX_LENGTH = 10_000_000
Place = Annotated[float, Field(ge=0, le=MAX_LENGTH)]
Length = Annotated[float, Field(gt=0, le=MAX_LENGTH)]
Quality = Annotated[int, Field(ge=1, le=100)]
#: pydantic's `$` does not match before a line feed at the end, Python's would.
Background = Annotated[str, Field(pattern=r"^(transparent|#[0-9a-fA-F]{6})$")]


class Clip(OptionGroup):
    """A rectangle of the document."""

    x: Annotated[Place, Option("Left edge in the document, in CSS pixels.")] = 0.0
    y: Annotated[Place, Option("Upper edge in the document, in CSS pixels.")] = 0.0
    width: Annotated[Length, Option("Width in CSS pixels.")]
    height: Annotated[Length, Option("Height in CSS pixels.")]
    scale: Annotated[
        float,
        Field(ge=0.1, le=5.0),
        Option("Scale of the picture, multiplied by device_scale_factor."),
    ] = 1.0


class OutputOptions(OptionGroup):
    """What is captured of a page, and how: the options of one picture, PDF or text."""

    format: Annotated[
        OutputFormat,
        Option(
            "Encoding of the answer. avif takes the most time and the fewest bytes. html is the"
            " page's document, elements is JSON of what `elements` match, both at the moment when"
            " a picture would be taken.",
            value_needs={"elements": ("elements",)},
            begins="Picture",
        ),
    ] = DEFAULT_FORMAT
    quality: Annotated[
        Quality | None,
        Option("Encoder quality.", formats=LOSSY, default=str(DEFAULT_QUALITY)),
    ] = None
    png_compression: Annotated[
        PngCompression,
        Option(
            "How a png is compressed: `fast` (up to twice the bytes of the others), `balanced`, or"
            " `small` (the most CPU). The pixels are the same.",
            formats=("png",),
        ),
    ] = "fast"
    full_page: Annotated[
        bool,
        Option(
            "The whole document instead of the viewport; a PDF gets one tall page.",
            formats=PAINTED,
        ),
    ] = False
    selector: Annotated[
        Selector | None,
        Option(
            "The first element that matches, instead of the viewport.",
            allowed="a CSS selector of up to 1000 characters",
            formats=PICTURES,
            excludes=("full_page", "clip"),
        ),
    ] = None
    padding: Annotated[
        int,
        Field(ge=0, le=200),
        Option(
            "Space around the element of `selector`, on each side.",
            unit="CSS pixels",
            formats=PICTURES,
            needs=("selector",),
        ),
    ] = 0
    clip: Annotated[
        Clip | None,
        Option(
            "A rectangle of the document, instead of the viewport.",
            formats=PICTURES,
            excludes=("full_page",),
        ),
    ] = None
    background: Annotated[
        Background | None,
        Option(
            "Colour behind the page: `transparent`, or `#rrggbb`.",
            allowed="transparent or #rrggbb",
            default="transparent for png, webp and avif, white for jpeg and pdf",
            formats=PAINTED,
            value_formats={"transparent": (*TRANSPARENT, "pdf")},
        ),
    ] = None
    pdf: Annotated[
        PdfOptions | None,
        Option("How a PDF is cut into sheets.", formats=("pdf",)),
    ] = None
    elements: Annotated[
        Annotated[Items[Selector], Field(max_length=MAX_SELECTORS)],
        Option(
            "CSS selectors of elements: the answer has the text, HTML, attributes and box of each"
            " match.",
            allowed=f"a list of 1 to {MAX_SELECTORS}, each a CSS selector of up to 1000 characters",
            formats=("elements",),
        ),
    ] = ()

    @property
    def is_viewport(self) -> bool:
        """Whether what the viewport shows is captured, and nothing outside of it."""
        return not self.full_page and self.selector is None and self.clip is None

    def colour(self) -> tuple[int, int, int, int]:
        """The background as RGBA."""
        if self.background is None:
            return CLEAR if self.format in TRANSPARENT else WHITE
        if self.background == "transparent":
            return CLEAR
        red, green, blue = bytes.fromhex(self.background[1:])
        return red, green, blue, 255


class Output(OutputOptions):
    """One of several pictures, PDFs and texts of a page that is loaded once."""

    name: Annotated[
        Annotated[str, Field(pattern=OUTPUT_NAME)] | None,
        Option(
            "Its name in the answer, and the name of its file.",
            allowed="up to 64 of a-z, 0-9, _ and -, the first a letter or digit; unique",
            default="its number, from 1",
        ),
    ] = None
    device_scale_factor: Annotated[
        Annotated[float, Field(ge=0.1, le=5.0)] | None,
        Option(
            "Device pixels of the picture per CSS pixel. The layout does not change, and the"
            " page's scripts and media queries see the page's own factor.",
            formats=PICTURES,
            default="the page's",
        ),
    ] = None


def named(given: tuple[Output, ...]) -> tuple[Output, ...]:
    """The outputs, each with a name.

    Raises:
        ValueError: Two have the same, or two are PDFs of one sheet; the text is for the caller.
    """
    named = tuple(
        one if one.name else one.model_copy(update={"name": str(place)})
        for place, one in enumerate(given, 1)
    )
    names = [str(one.name) for one in named]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two outputs have the name {twice[0]}")
    if sum(one.format == "pdf" and one.full_page for one in named) > 1:
        raise ValueError("two outputs are a pdf with full_page")
    return named
