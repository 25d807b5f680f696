"""The reference poster as a template: its style sheet in a file, since a template has none inside.

Only a template can have a warm page (the isolation level `page`). Page, styles and picture are
those of the poster that all others render.
"""

import json
import re
from pathlib import Path

from bench.render.posters import REFERENCE, html

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
#: Where the template stands, among others of its kind; the name is the poster's.
FOLDER = "templates"


def write(cache: Path) -> Path:
    """Write the template, and return the folder that POSTER_TEMPLATES names."""
    folder = cache / FOLDER / REFERENCE.name
    folder.mkdir(parents=True, exist_ok=True)
    page = html(REFERENCE.name)
    styles = "\n".join(_STYLE.findall(page))
    linked = _STYLE.sub('<link rel="stylesheet" href="style.css">', page, count=1)
    size = {"width": REFERENCE.width, "height": REFERENCE.height}
    (folder / "poster.html").write_text("{% raw %}" + _STYLE.sub("", linked) + "{% endraw %}")
    (folder / "style.css").write_text(styles)
    (folder / "schema.json").write_text(json.dumps({"type": "object", "x-poster": size}))
    (folder / "sample.json").write_text("{}")
    return folder.parent
