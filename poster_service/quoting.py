"""Escapes and shortens untrusted text for responses and log lines.

Everything that quotes a caller or a page uses this module, so that no text breaks a line, moves a
terminal's cursor, changes the direction of a line, or makes a response as long as the request.
"""

import re

#: Most characters of a caller's text that an error or a log field quotes, escapes included.
QUOTED = 100
ELLIPSIS = "…"

#: Characters that are escaped: C0 and C1 controls (line feeds, terminal sequences), line and
#: paragraph separators, characters that change the direction of the text around them (Unicode
#: Technical Report 36, 3.5), invisible format characters, and lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff]"
)


def escaped(text: str) -> str:
    r"""The text with every control, separator and format character as `\n`, `\x1b` or `\u2028`."""
    return _UNPRINTABLE.sub(_escape, text)


def quoted(text: str, most: int = QUOTED) -> str:
    """The text escaped, and cut to `most` characters with an ellipsis as the last of them."""
    shown = escaped(text[: most + 1])  # an escape is longer than its character
    return shown if len(shown) <= most else shown[: most - 1] + ELLIPSIS


def shortened(text: str, most: int) -> str:
    """The text as it is, cut to `most` characters with an ellipsis as the last of them."""
    return text if len(text) <= most else text[: most - 1] + ELLIPSIS


def plain_json(text: str) -> str:
    r"""JSON with every such character as an escape like `\u2028`; its meaning stays the same."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    known = {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r"}.get(code)
    return known or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
