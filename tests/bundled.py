"""The bundled templates, and data that tries their layouts, made from their schemas.

The longest texts that a schema takes are made in several scripts. The ruler is a script that a copy
of the template loads: it lists what is cut, what lies outside of the page and what overlaps.
"""

import base64
import json
import shutil
from collections.abc import Mapping
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from poster_service.settings import default_templates

FOLDER = default_templates()
#: Two of them, which the services of tests have: to read all takes each start half a second of CPU,
#: on a busy machine, and there are hundreds.
FEW = Path(__file__).with_name("few_templates")
NAMES = sorted(one.name for one in FOLDER.iterdir() if (one / "poster.html").is_file())
#: Read once, at the import: a test of a service must not read files in its event loop.
_FILES = {
    (name, file): (FOLDER / name / file).read_text("utf-8")
    for name in NAMES
    for file in ("schema.json", "sample.json")
}
#: Those which show every text that their schema takes; the others end long ones in an ellipsis, as
#: their schemas say.
WHOLE = tuple(name for name in NAMES if name not in ("article-card", "share-poster"))
#: Rows of a table in longest data: enough for several sheets.
MAX_ROWS = 40

#: Text by script: the language that a template takes for it, and words to repeat.
SCRIPTS: Mapping[str, tuple[str, str]] = {
    "latin": ("en", "The quick brown fox and an unusually comprehensible hippopotamus, "),
    "capitals": ("de", "GROSSER SAAL DER WESTFÄLISCHEN HOCHSCHULE MÜNSTER "),
    "one word": ("de", "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen"),
    "chinese": ("zh-CN", "无头浏览器把网页变成图片，进程一个也不留下。"),
    "japanese": ("ja", "ヘッドレスブラウザでページを画像に変換する「工房」"),
    "arabic": ("ar", "مؤتمر هندسة البرمجيات والأنظمة الموثوقة في المدينة القديمة "),
    "hebrew": ("he", "הכנס השנתי להנדסת תוכנה ומערכות אמינות בעיר העתיקה "),
    "emoji": ("en", "Party 🎉 with 👩‍👩‍👧‍👦 and 🏳️‍🌈 at the 🏖️ 你好 "),
    "mixed": ("he", "שלום Grand Hall 第二大厅 مرحبا 12:30–14:00 "),
}

#: A picture that comes from nowhere.
PICTURE = (
    "data:image/svg+xml;base64,"
    + base64.b64encode(
        b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40'>"
        b"<rect width='40' height='40' fill='teal'/></svg>"
    ).decode()
)

#: Lists on the page, as JSON in `#measured`, all that is larger than its box, leaves the page, or
#: is written over something else. Two pixels are the slack of fonts.
RULER = """
addEventListener('load', () => {
  const found = [], slack = 2, page = document.documentElement;
  const name = e => [e.localName, ...e.classList].join('.');
  const all = [...document.body.querySelectorAll('*')]
    .filter(e => !e.closest('svg') && e.checkVisibility());
  if (page.scrollWidth > innerWidth) found.push(`the page is ${page.scrollWidth} wide`);
  for (const e of [document.body, ...all]) {
    if (e.clientWidth && e.scrollWidth > e.clientWidth + slack)
      found.push(`${name(e)} is ${e.clientWidth} wide, its contents ${e.scrollWidth}`);
    if (e.clientHeight && e.scrollHeight > e.clientHeight + slack)
      found.push(`${name(e)} is ${e.clientHeight} high, its contents ${e.scrollHeight}`);
  }
  const cuts = getComputedStyle(document.body).overflow == 'hidden';
  const bottom = cuts ? innerHeight : page.scrollHeight;
  const texts = all.map(e => [e, [...e.childNodes].flatMap(n => {
    if (n.nodeType != Node.TEXT_NODE || !n.data.trim()) return [];
    const range = document.createRange();
    range.selectNodeContents(n);
    return [...range.getClientRects()].filter(r => r.width && r.height);
  })]).filter(([, rects]) => rects.length);
  for (const [e, rects] of texts)
    if (rects.some(r => Math.min(r.left, r.top, innerWidth - r.right, bottom - r.bottom) < -1))
      found.push(`the text of ${name(e)} leaves the page`);
  const common = (a, b, from, to) => Math.min(a[to], b[to]) - Math.max(a[from], b[from]);
  const meet = (a, b) => common(a, b, 'left', 'right') > slack &&
    common(a, b, 'top', 'bottom') > 0.35 * Math.min(a.height, b.height);
  texts.forEach(([a, ours], i) => texts.slice(i + 1).forEach(([b, theirs]) => {
    if (!a.contains(b) && !b.contains(a) && ours.some(r => theirs.some(s => meet(r, s))))
      found.push(`the texts of ${name(a)} and ${name(b)} overlap`);
  }));
  const measured = document.createElement('pre');
  measured.id = 'measured';
  measured.textContent = JSON.stringify(found);
  document.body.append(measured);
});
"""


def with_ruler(root: Path) -> Path:
    """Copies of the templates that measure themselves; the folder of all."""
    for name in NAMES:
        shutil.copytree(FOLDER / name, root / name)
        (root / name / "ruler.js").write_text(RULER)
        page = root / name / "poster.html"
        script = '<script src="ruler.js"></script></head>'
        page.write_text(page.read_text("utf-8").replace("</head>", script), "utf-8")
    return root


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of a bundled template."""
    return _json(name, "schema.json")


def sample_of(name: str) -> dict[str, Any]:
    """The sample of a bundled template."""
    return _json(name, "sample.json")


def _json(name: str, file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_FILES[name, file])
    return found


def sizes_of(name: str) -> list[dict[str, int]]:
    """Width and height of each size that a template is made for."""
    about = schema_of(name)["x-poster"]
    every = [about, *about.get("sizes", ())]
    return [{"width": one["width"], "height": one["height"]} for one in every]


def main_text(name: str) -> str:
    """The field of a template's data that it is about: the first text that is required."""
    schema = schema_of(name)
    required: list[str] = schema["required"]
    return next(one for one in required if schema["properties"][one].get("type") == "string")


def longest(name: str, script: str, share: float = 1) -> dict[str, Any]:
    """The longest data that a template takes, in one script.

    Args:
        name: Of the template.
        script: One of `SCRIPTS`.
        share: How long each text is, of the length that the schema takes.
    """
    language, words = SCRIPTS[script]
    data = filled(name, words, share)
    known = schema_of(name)["properties"]["lang"]["enum"]
    return {**data, "lang": language if language in known else known[0]}


def filled(name: str, words: str, share: float = 1) -> dict[str, Any]:
    """Data with every field and item, in which each free text repeats these words."""
    schema = schema_of(name)
    data: dict[str, Any] = _filled(schema, schema, words, share)
    return data


def _filled(schema: Mapping[str, Any], whole: Mapping[str, Any], words: str, share: float) -> Any:
    if "$ref" in schema:
        named: Mapping[str, Any] = whole["$defs"][schema["$ref"].rpartition("/")[2]]
        schema = {**named, **schema}
    if schema.get("type") == "object":
        return {key: _filled(one, whole, words, share) for key, one in schema["properties"].items()}
    if schema.get("type") == "array":
        count = min(schema["maxItems"], MAX_ROWS)
        items = [_filled(schema["items"], whole, words, share) for _ in range(count)]
        # No two alike where the schema asks for it.
        return (
            [one[place:] for place, one in enumerate(items)] if "uniqueItems" in schema else items
        )
    if schema.get("pattern") == "\\S":
        most = max(1, int(schema["maxLength"] * share))
        return "".join(islice(cycle(words), most)).strip()
    if "data:image" in schema.get("pattern", ""):
        return PICTURE  # the examples are on the web
    longest: Any = max(schema["examples"], key=lambda one: len(str(one)))
    return longest
