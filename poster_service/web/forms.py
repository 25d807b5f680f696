"""A form with a page and its files (multipart/form-data, RFC 7578), from bytes that were counted.

Nothing is written to disk, and the number of parts and the size of their headers are checked before
a part is built. `bodies` reads options out of the parts.
"""

import re
from dataclasses import dataclass

import multipart

from poster_service.errors import BadRequest, Fault, FormTooComplex, InvalidField
from poster_service.render.page_files import guess_media_type
from poster_service.render.request import Asset
from poster_service.web import charsets
from poster_service.web.part_names import extended

#: The part that is the page.
PAGE = "index.html"
#: The part that is the page, where it is Markdown.
MARKDOWN_PAGE = "index.md"
#: A part of this name is known by its file name: a browser's file input sends it.
FILES = "files"
#: Headers of one part; a browser sends two.
MAX_HEADERS = 8
#: RFC 7578 (4.7) deprecates all others.
CODINGS = ("", "7bit", "8bit", "binary")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_PLAIN_TYPE = re.compile(r"[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}\Z")


@dataclass(frozen=True)
class Part:
    """One part of a form.

    Attributes:
        name: Of the option, or the path of the file.
        is_file: Whether it came as a file; the page may come as either.
        content_type: As the sender gives it; often empty.
        charset: Of its Content-Type; None if that names none.
        body: Its bytes.
        field: The name of its field, where `name` is that of its file.
        filename: That of its file; None if it is none.
    """

    name: str
    is_file: bool
    content_type: str
    charset: str | None
    body: bytes
    field: str = ""
    filename: str | None = None

    def text(self) -> str:
        """An option's value.

        Raises:
            BadRequest: It is not UTF-8.
        """
        try:
            return self.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadRequest.of(Fault(self.name[:100], "is not UTF-8", "text in UTF-8")) from error

    def asset(self, page_charset: str = "utf-8") -> Asset:
        """The file, as the page will get it, its bytes untouched.

        Args:
            page_charset: In which the page itself came. Chrome gets the page as UTF-8, and would
                read style sheets and scripts without a charset as UTF-8 too; so they are served
                with the charset of the page.

        Raises:
            InvalidField: Its name is not a path below the page.
        """
        check_path(self.name)
        sent = self.content_type if _PLAIN_TYPE.match(self.content_type) else ""
        kind = guess_media_type(self.name) or sent or "application/octet-stream"
        charset = self.charset or (page_charset if self._follows_page(kind) else None)
        if (
            charset
            and kind.startswith("text/")
            and charsets.codec_of(charset) not in (None, "utf-8")
        ):
            kind += f"; charset={charset.strip()}"
        return Asset(self.name, kind, self.body)

    def _follows_page(self, kind: str) -> bool:
        """Whether it has the page's encoding because it names none itself."""
        marks = (*(mark for mark, _ in charsets.MARKS), b"@charset")
        return kind in ("text/css", "text/javascript") and not self.body.startswith(marks)


def parse(raw: bytes, boundary: str, max_parts: int, max_header_bytes: int) -> list[Part]:
    """The parts of a form, in order.

    Args:
        raw: The body.
        boundary: What separates its parts, as its Content-Type names it.
        max_parts: As many parts as there may be.
        max_header_bytes: As long as one header of a part may be.

    Raises:
        BadRequest: The body is not a form.
        FormTooComplex: One of the two is exceeded.
    """
    try:
        parser = multipart.PushMultipartParser(
            boundary,
            max_header_size=max_header_bytes,
            max_header_count=MAX_HEADERS,
            max_segment_count=max_parts,
            strict=True,
        )
        with parser:
            return _parts(parser, raw)
    except multipart.ParserLimitReached as error:
        raise FormTooComplex.of(
            Fault(
                "",
                f"the form is too complex: {_sentence(error)}",
                f"up to {max_parts} parts, each with up to {MAX_HEADERS} headers of"
                f" {max_header_bytes} bytes",
            )
        ) from error
    except (multipart.MultipartError, UnicodeError) as error:
        raise BadRequest.of(
            Fault(
                "", f"the body is not a form: {_sentence(error)}", "multipart/form-data (RFC 7578)"
            )
        ) from error


def _parts(parser: multipart.PushMultipartParser, raw: bytes) -> list[Part]:
    parts: list[Part] = []
    pieces: list[bytes] = []
    head = None
    for event in parser.parse(raw):
        if isinstance(event, bytes):
            pieces.append(event)
        elif event is not None:
            head, pieces = event, []
        elif (part := _part(head, b"".join(pieces))) is not None:
            parts.append(part)
    return parts


def _part(head: multipart.MultipartSegment, body: bytes) -> Part | None:
    """A part; None where a browser says that no file was chosen."""
    headers = dict(head.headerlist)
    coding = headers.get("Content-Transfer-Encoding", "").strip().lower()
    if coding not in CODINGS:
        raise BadRequest.of(
            Fault(
                head.name[:100],
                f"has Content-Transfer-Encoding {coding[:40]}",
                "no Content-Transfer-Encoding",
            )
        )
    better = extended(headers.get("Content-Disposition", ""))
    own, filename = better.get("name", head.name), better.get("filename", head.filename)
    if filename == "" and not body:
        return None
    name = filename if own == FILES and filename is not None else own
    kind = head.content_type or ""
    return Part(name, filename is not None, kind, head.charset, body, own, filename)


def check_path(name: str) -> None:
    """Refuse a file whose name no URL below the page's own can have.

    Raises:
        InvalidField: With what a path must be.
    """
    if _CONTROL.search(name) or any(step in ("", ".", "..") for step in name.split("/")):
        raise InvalidField.of(
            Fault(
                name[:100], "is not a path below the page", "a path like img/logo.png, without .."
            )
        )


def _sentence(error: Exception) -> str:
    """The parser's message, to be part of a sentence."""
    words = str(error.args[0]) if error.args else "it cannot be read"
    return words[:1].lower() + words[1:200]
