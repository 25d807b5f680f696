"""The families of fonts that Chrome finds, each with what it can write: for people who choose one.

Read by `fc-list`, with the configuration that Chrome has, when a caller asks, and again only when
the fonts have changed.
"""

import itertools
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from poster_service.browser.fonts import Coverage, Fonts, covered, is_invisible

#: Families that are listed, and styles of each.
MAX_FAMILIES, MAX_STYLES = 2_000, 40
#: Characters of the sample of a family that has none of the samples below.
SAMPLE_CHARACTERS = 16
#: A line of each script; a family has the script if it draws all of its line.
SAMPLES = {
    "Latin": "Hamburgefonstiv 0123456789",
    "Greek": "Ξεσκεπάζω την ψυχοφθόρα",
    "Cyrillic": "Съешь ещё этих булок",
    "Han": "天地玄黄宇宙洪荒",
    "Kana": "いろはにほへと イロハニホヘト",
    "Hangul": "키스의 고유조건은",
    "Arabic": "نص حكيم له سر قاطع",
    "Hebrew": "דג סקרן שט בים",
    "Devanagari": "ऋषियों को सताने वाले",
    "Bengali": "আমি কাচ খেতে পারি",
    "Gurmukhi": "ਮੈਂ ਗਲਾਸ ਖਾ ਸਕਦਾ",
    "Gujarati": "હું કાચ ખાઇ શકુ છુ",
    "Tamil": "நான் கண்ணாடி சாப்பிடுவேன்",
    "Telugu": "నేను గాజు తినగలను",
    "Kannada": "ನನಗೆ ಹಾನಿ ಆಗದೆ",
    "Malayalam": "എനിക്ക് ഗ്ലാസ് തിന്നാം",
    "Sinhala": "මට වීදුරු කෑමට",
    "Thai": "เป็นมนุษย์สุดประเสริฐ",
    "Lao": "ຂອ້ຍກິນແກ້ວໄດ້",
    "Khmer": "ខ្ញុំអាចញុំកញ្ចក់បាន",
    "Myanmar": "ကျွန်တော် မှန်စားနိုင်တယ်",
    "Tibetan": "ཤེལ་སྒོ་ཟ་ནས་ང་ན་གི་མ་རེད",
    "Georgian": "მინას ვჭამ და არა მტკივა",
    "Armenian": "Կրնամ ապակի ուտել",
    "Ethiopic": "ሰማይ አይታረስ ንጉሥ",
    "Emoji": "😀🎉🚀🌍",
}
_FORM = "--format=%{family[0]}\t%{style[0]}\t%{fontformat}|%{outline}|%{color}|%{charset}\n"


@dataclass(frozen=True)
class Family:
    """One family of fonts.

    Attributes:
        name: As CSS names it.
        styles: Names of its styles, sorted.
        scripts: Those of `SAMPLES` that it writes; if none, that of its first letter.
        characters: How many characters it draws; 0 where Chrome cannot use it.
        sample: A line that it draws whole; empty if it draws nothing by itself.
    """

    name: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]
    characters: int
    sample: str

    @property
    def is_usable(self) -> bool:
        """Whether Chrome uses it: an outline or colour font in a format that it reads."""
        return self.characters > 0


class FontList:
    """The families of one service's fonts."""

    def __init__(self, fonts: Fonts) -> None:
        self._fonts = fonts
        self._lock = threading.Lock()
        self._identity = ""
        self._families: tuple[Family, ...] | None = None

    def families(self) -> tuple[Family, ...] | None:
        """Every family, sorted by name; None if `fc-list` fails. Blocks, at first for a second."""
        with self._lock:
            identity = self._fonts.identity()
            if self._families is None or identity != self._identity:
                lines = self._fonts.listed(_FORM)
                self._families = None if lines is None else tuple(parsed_families(lines))
                self._identity = identity
            return self._families


def parsed_families(lines: Iterable[str]) -> Iterator[Family]:
    """The families in lines of `fc-list`, up to `MAX_FAMILIES`."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        name, _, rest = line.partition("\t")
        style, _, fonts = rest.partition("\t")
        if name and fonts:
            found.setdefault(name, []).append((style, fonts))
    for name in sorted(found, key=str.casefold)[:MAX_FAMILIES]:
        styles = sorted({style for style, _ in found[name] if style})[:MAX_STYLES]
        yield _family(name, tuple(styles), covered(fonts for _, fonts in found[name]))


def _family(name: str, styles: tuple[str, ...], coverage: Coverage) -> Family:
    count = sum(last - first + 1 for first, last in coverage.ranges)
    whole = [
        script
        for script, sample in SAMPLES.items()
        if all(one in coverage for one in sample if one != " ")
    ]
    if whole:
        # Its own script before Latin, which most families have as well.
        own = next((script for script in whole if script in name), whole[-1])
        shown = own if len(whole) <= 2 or own in name else whole[0]
        return Family(name, styles, tuple(whole), count, SAMPLES[shown])
    letters = "".join(itertools.islice(_letters(coverage), SAMPLE_CHARACTERS))
    word = unicodedata.name(letters[0], "").split(" ")[0].capitalize() if letters else ""
    return Family(name, styles, (word,) if word else (), count, letters)


def _letters(coverage: Coverage) -> Iterator[str]:
    """What a family draws: letters first, anything that shows if there are none."""
    codes = itertools.chain.from_iterable(range(a, b + 1) for a, b in coverage.ranges)
    shown = [chr(code) for code in itertools.islice(codes, 2_000) if not is_invisible(chr(code))]
    letters = [one for one in shown if unicodedata.category(one).startswith("L")]
    yield from letters or [one for one in shown if not unicodedata.category(one).startswith("M")]
