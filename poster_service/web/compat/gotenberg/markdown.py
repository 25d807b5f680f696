"""The page of a markdown route: `index.html` with texts in Markdown in its placeholders.

Gotenberg reads the page as a template of Go; here `{{ toHTML "file.md" }}` is all that it may have.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping

from poster_service.errors import Fault, InvalidField
from poster_service.quoting import quoted
from poster_service.render import markdown_page
from poster_service.web.compat.gotenberg.form import Form

#: Without braces inside, so that the time is linear.
_ACTION = re.compile(r"\{\{(?P<inside>[^{}]{0,300}+)\}\}")
#: What may be inside of a placeholder: a comment, or the call with a quoted file name.
_CALL = re.compile(r"""(?:-\s)?\s*(?:/\*.*\*/|toHTML\s+(?:"([^"\\\n]*)"|`([^`]*)`))\s*(?:\s-)?""",
                   re.DOTALL)  # fmt: skip
MARKDOWN = ".md"


async def filled(page: str, form: Form) -> str:
    """The page with the HTML of the files that its placeholders name.

    Args:
        page: The text of index.html.
        form: Has the files.

    Raises:
        InvalidField: A placeholder names no file, or is another; or the texts are too long.
    """
    names = [name for name in form.files if name.lower().endswith(MARKDOWN)]
    texts = await form.texts(names)
    if not texts:
        raise InvalidField.of(Fault("", "no form file found for extensions: [.md]"))
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(markdown_page.thread(), fill, page, texts)


def fill(page: str, texts: Mapping[str, str]) -> str:
    """The same, in this thread; texts by the names of their files."""
    used = list(dict.fromkeys(_named(page)))
    missing = [name for name in used if name not in texts]
    if missing:
        named = ", ".join(f"'{quoted(name)}'" for name in missing[:20])
        raise InvalidField.of(Fault("", f"Markdown file(s) not found: {named}"))
    if sum(len(texts[name]) for name in used) > markdown_page.MAX_MARKDOWN:
        most = markdown_page.MAX_MARKDOWN
        raise InvalidField.of(Fault("", f"the Markdown files have more than {most} characters"))
    made = {name: markdown_page.fragment_of(texts[name]) for name in used}
    size = sum(len(made[name]) for name in _named(page))
    if size > markdown_page.MAX_HTML:
        most = markdown_page.MAX_HTML
        raise InvalidField.of(Fault("", f"the page becomes more than {most} characters of HTML"))
    return _ACTION.sub(lambda found: made.get(_name(found) or "", ""), page)


def _named(page: str) -> Iterator[str]:
    """The files that the placeholders of a page name, in its order."""
    return (name for found in _ACTION.finditer(page) if (name := _name(found)) is not None)


def _name(found: re.Match[str]) -> str | None:
    """The file that a placeholder names; None for a comment.

    Raises:
        InvalidField: It is something else.
    """
    call = _CALL.fullmatch(found["inside"])
    if call is None:
        raise InvalidField.of(
            Fault(
                "index.html",
                f"has the placeholder {{{{{quoted(found['inside'], 60)}}}}}",
                '{{ toHTML "file.md" }}',
            )
        )
    return call[1] if call[1] is not None else call[2]
