"""A form with a page and its files (multipart/form-data, RFC 7578), from bytes that were counted.

Nothing is written to disk, and no part is made before its number and its headers are within their
bounds. What the parts mean as options is for `bodies`.
"""

import re
from dataclasses import dataclass

import multipart

from poster_service.errors import BadRequest, Fault, FormTooComplex, InvalidField
from poster_service.render.job import Asset
from poster_service.render.page_files import guess_media_type
from poster_service.web import charsets
from poster_service.web.part_names import extended

#: The part that is the page.
PAGE = "index.html"
#: A part of this name is called by its file name: what a file input of a browser sends.
FILES = "files"
#: Headers of one part; a browser sends two.
MAX_HEADERS = 8
#: Parts that are encoded once more went out of use with RFC 7578.
CODINGS = ("", "7bit", "8bit", "binary")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_PLAIN_TYPE = re.compile(r"[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}\Z")


@dataclass(frozen=True)
class Part:
    """One part of a form.

    Attributes:
        name: Of the option, or the path of the file.
        is_file: Whether it came as a file; the page may come as either.
        content_type: What its sender says it is; often empty.
        charset: Likewise.
        body: Its bytes.
    """

    name: str
    is_file: bool
    content_type: str
    charset: str | None
    body: bytes

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
            page_charset: In which the page itself came. The page is UTF-8 from here on, and would
                have Chrome take its style sheets and scripts for that too, where they do not say
                what they are; so they are said to be in what the page was in.

        Raises:
            InvalidField: Its name is no path below the page.
        """
        check_path(self.name)
        said = self.content_type if _PLAIN_TYPE.match(self.content_type) else ""
        kind = guess_media_type(self.name) or said or "application/octet-stream"
        charset = self.charset or (page_charset if self._follows_page(kind) else None)
        if (
            charset
            and kind.startswith("text/")
            and charsets.codec_of(charset) not in (None, "utf-8")
        ):
            kind += f"; charset={charset.strip()}"
        return Asset(self.name, kind, self.body)

    def _follows_page(self, kind: str) -> bool:
        """Whether it is in the page's encoding for want of a word of its own."""
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
        BadRequest: It is no form.
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
            Fault("", f"the body is no form: {_sentence(error)}", "multipart/form-data (RFC 7578)")
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
            Fault(head.name[:100], "is encoded once more", "no Content-Transfer-Encoding")
        )
    better = extended(headers.get("Content-Disposition", ""))
    own, filename = better.get("name", head.name), better.get("filename", head.filename)
    if filename == "" and not body:
        return None
    name = filename if own == FILES and filename is not None else own
    return Part(name, filename is not None, head.content_type or "", head.charset, body)


def check_path(name: str) -> None:
    """Refuse a file that no address below the page's could mean.

    Raises:
        InvalidField: Telling what a path must be.
    """
    if _CONTROL.search(name) or any(step in ("", ".", "..") for step in name.split("/")):
        raise InvalidField.of(
            Fault(name[:100], "is no path below the page", "a path like img/logo.png, without ..")
        )


def _sentence(error: Exception) -> str:
    """The parser's words, as a part of a sentence of ours."""
    words = str(error.args[0]) if error.args else "it cannot be read"
    return words[:1].lower() + words[1:200]
