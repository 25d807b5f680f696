"""A page made of Markdown: CommonMark with tables and strikethrough, in a plain style sheet.

HTML inside of it stays HTML, with the rules that hold for a caller's own page. The library is
imported with the first such page, which takes 30 ms.
"""

import functools
import html
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from poster_service.errors import Fault, InvalidField

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

#: Longest text, in characters. The worst takes 17 us of CPU for each (measured), usual text 2 us.
MAX_MARKDOWN = 200_000
#: Characters of HTML that it may become. A reference repeats its address each time it is used, so
#: that 100 kB could become a gigabyte.
MAX_HTML = 8_000_000
#: Characters of the first heading that are the page's title.
MAX_TITLE = 200

#: Readable on a screen and on paper, in every script that the fonts have. The padding is that of
#: each sheet too. No rule moves anything, or pages would not be cached.
STYLE = """
html { color: #1f2328; background: #fff; -webkit-text-size-adjust: 100% }
body { box-sizing: border-box; max-width: 50rem; margin: 0 auto; padding: 2rem 2.25rem;
  font: 1rem/1.6 system-ui, "Noto Sans", "Noto Sans CJK SC", "Noto Color Emoji", sans-serif;
  overflow-wrap: break-word; box-decoration-break: clone; -webkit-box-decoration-break: clone }
body > :first-child { margin-top: 0 }
body > :last-child { margin-bottom: 0 }
h1, h2, h3, h4, h5, h6 { margin: 1.6em 0 .6em; line-height: 1.25; break-after: avoid }
h1 { font-size: 2em } h2 { font-size: 1.5em } h3 { font-size: 1.25em } h4, h5, h6 { font-size: 1em }
h1, h2 { padding-bottom: .3em; border-bottom: 1px solid #d1d9e0 }
p, ul, ol, dl, blockquote, pre, table { margin: 0 0 1em }
p, li { orphans: 3; widows: 3 }
ul, ol { padding-left: 2em } li > ul, li > ol { margin-bottom: 0 } li > p { margin-bottom: .4em }
a { color: #0550ae }
img, svg, video { max-width: 100% } img { height: auto; break-inside: avoid }
hr { height: 1px; margin: 2em 0; border: 0; background: #d1d9e0 }
blockquote { padding: 0 1em; color: #59636e; border-left: .25em solid #d1d9e0 }
code, kbd, pre, samp { font: .875em/1.45 ui-monospace, "Noto Sans Mono", "Noto Sans Mono CJK SC",
  monospace; tab-size: 4 }
code, kbd { padding: .15em .35em; background: #eff1f3; border-radius: .3em;
  box-decoration-break: clone; -webkit-box-decoration-break: clone }
pre { padding: 1em; background: #f6f8fa; border-radius: .4em; white-space: pre-wrap }
pre code { padding: 0; background: none; font-size: 1em }
table { border-collapse: collapse; max-width: 100% }
th, td { padding: .4em .8em; border: 1px solid #d1d9e0; text-align: left }
th { background: #f6f8fa } thead { display: table-header-group } tr { break-inside: avoid }
@media print { html { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  blockquote, pre { break-inside: avoid } }
"""


@functools.cache
def thread() -> ThreadPoolExecutor:
    """The one thread that parses: long texts wait for each other, other renders do not."""
    return ThreadPoolExecutor(1, thread_name_prefix="markdown")


def page_of(text: str) -> str:
    """The HTML of a whole page.

    Args:
        text: Up to `MAX_MARKDOWN` characters.

    Raises:
        InvalidField: It would become too much HTML.
    """
    tokens = _tokens(text)
    title, body = html.escape(_title(tokens)), _html(tokens)
    return (
        "<!doctype html><html><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )


def fragment_of(text: str) -> str:
    """The HTML of a text without its scripts, styles, frames, handlers and all else that acts.

    It is a part of another page, whose author may not be that of the text.

    Args:
        text: Up to `MAX_MARKDOWN` characters.

    Raises:
        InvalidField: It would become too much HTML.
    """
    import nh3

    return nh3.clean(_html(_tokens(text)), link_rel=None)


def _tokens(text: str) -> "list[Token]":
    tokens = _parser().parse(text)
    if sum(map(_size, _all(tokens))) > MAX_HTML:
        fault = Fault("markdown", f"becomes more than {MAX_HTML} characters of HTML", "less text")
        raise InvalidField.of(fault)
    return tokens


def _html(tokens: "list[Token]") -> str:
    parser = _parser()
    return str(parser.renderer.render(tokens, parser.options, {}))


@functools.cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def _all(tokens: "Iterable[Token]") -> "Iterator[Token]":
    for token in tokens:
        yield token
        for child in token.children or ():
            yield child
            yield from child.children or ()  # of a picture, its text


def _size(token: "Token") -> int:
    """Characters that it becomes, if none of them is escaped."""
    own = 0 if token.children else len(token.content)
    return own + 8 + sum(len(str(value)) for value in token.attrs.values())


def _title(tokens: "list[Token]") -> str:
    """The text of the first heading."""
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open":
            shown = (one for one in inline.children or () if one.type != "html_inline")
            words = (one.content for one in shown)
            return " ".join("".join(words).split())[:MAX_TITLE]
    return ""
