"""Text that came from outside, made fit to stand in an answer or in a log line.

The one place that does so: everything that quotes a caller or a page goes through here, so that no
text breaks a line, moves a terminal's cursor, turns a line's direction, or makes an answer as long
as the request was.
"""

import re

#: Characters of a caller's text that an error or a log field quotes, escapes included.
QUOTED = 100
ELLIPSIS = "…"

#: What has no place in a line of text: C0 and C1 controls (line feeds and terminal sequences among
#: them), what separates lines and paragraphs, what changes the direction of the text around it
#: (Unicode Technical Report 36, 3.5), invisible format characters, and halves of characters.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff]"
)


def escaped(text: str) -> str:
    r"""The text with every control, separator and format character as `\n`, `\x1b` or `\u2028`."""
    return _UNPRINTABLE.sub(_escape, text)


def quoted(text: str, most: int = QUOTED) -> str:
    """The text escaped, and cut to `most` characters with an ellipsis as the last of them."""
    shown = escaped(text[: most + 1])  # an escape is longer than what it stands for
    return shown if len(shown) <= most else shown[: most - 1] + ELLIPSIS


def shortened(text: str, most: int) -> str:
    """The text as it is, cut to `most` characters with an ellipsis as the last of them."""
    return text if len(text) <= most else text[: most - 1] + ELLIPSIS


def plain_json(text: str) -> str:
    r"""JSON with every such character written as `\u2028`; what it means stays the same."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    known = {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r"}.get(code)
    return known or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
