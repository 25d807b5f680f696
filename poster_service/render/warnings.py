"""The warnings of one render: the value of `X-Render-Warnings` (RFC 9651, a list).

There are two sorts: resources that the page requested and did not get or could not use, by their
addresses (`add`), and other observations, such as a script error (`note`). Only the first sort
makes a `strict` render fail; `conditions.py` has all conditions. The value is bounded in entries
and bytes, and valid in a header with any address that a page makes up.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from poster_service.browser.types import ADDRESS

Verb = Literal["denied", "failed"]

#: Entries of one response; with the limits below they fit into a header line that proxies accept.
MAX_ENTRIES = 20
#: Entries that are not a missing subresource, in total and of one kind.
MAX_NOTES, MAX_NOTES_OF_A_KIND = 10, 6
#: A longer address is shortened to so many characters of its beginning, dots, and of its end.
HEAD, TAIL = 90, 40
#: Characters of any other parameter.
MAX_VALUE = 300
#: Kinds of notes that depend on the page, the fonts and the settings only.
REPRODUCIBLE_KINDS = frozenset(("missing_glyph", "webgl", "margin"))
#: Bytes of the whole value.
MAX_HEADER_BYTES = 4_000

#: Characters that an address may not have in the header. Chrome escapes them, a page's report may
#: not.
_FORBIDDEN = re.compile(r"[^A-Za-z0-9._~:/@!$&()*+,;=%\[\]-]")
_UNPRINTABLE = re.compile(r"[^ -~]")
_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
#: A parameter: its name, and its value as a string or as a token or number.
_PARAMETER = re.compile(r';([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^;"]*))')
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]{0,63}\Z")


@dataclass(frozen=True)
class MissingResource:
    """A resource that the page requested and did not get, or could not use.

    Attributes:
        verb: "denied" by a rule, or "failed".
        url: As `displayed` returns it; "" for a resource without an address.
        reason: Short and stable, for programs.
        similar: A file that exists and differs only in upper and lower case; "" without one.
    """

    verb: Verb
    url: str
    reason: str
    similar: str = ""

    def __str__(self) -> str:
        more = {"similar": self.similar} if self.similar else {}
        return item(self.verb, {"url": self.url, "reason": self.reason, **more})


@dataclass
class Warnings:
    """The warnings of one render, each of them once.

    Attributes:
        more: Number of warnings beyond the limits.
        reasons: Of all missing resources, those beyond the limits too.
        requested: Addresses that the page requested from its route.
        settled: Addresses of which everything is known: later findings only repeat it.
        statuses: Statuses that fail the render, by the addresses that had them, as displayed.
    """

    more: int = 0
    reasons: set[str] = field(default_factory=set)
    requested: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    statuses: dict[str, int] = field(default_factory=dict)
    _missing: dict[MissingResource, None] = field(default_factory=dict)
    _notes: dict[str, str] = field(default_factory=dict)

    def add(self, verb: Verb, url: str, reason: str, similar: str = "") -> bool:
        """Add a resource that the page did not get or cannot use.

        Returns:
            Whether it was added, so that the caller should log it: not a repetition, and within
            the limit.
        """
        missing = MissingResource(verb, displayed(url), reason, displayed(similar))
        if missing in self._missing:
            return False
        self.reasons.add(reason)
        if len(self._missing) >= MAX_ENTRIES:
            self.more += 1
            return False
        self._missing[missing] = None
        return True

    def note_status(self, url: str, status: int) -> None:
        """Note an answer whose status fails the render; of so many, the first ones."""
        if len(self.statuses) < MAX_ENTRIES:
            self.statuses.setdefault(displayed(url), status)

    def note(self, kind: str, /, **parameters: str) -> None:
        """Add another observation; it does not make a `strict` render fail.

        Args:
            kind: A token, e.g. "script_error".
            parameters: Strings; `reason` is a token.
        """
        text = item(kind, parameters)
        if text in self._notes:
            return
        is_full = len(self._notes) >= MAX_NOTES
        if is_full or Counter(self._notes.values())[kind] >= MAX_NOTES_OF_A_KIND:
            self.more += 1
        else:
            self._notes[text] = kind

    def missing(self) -> tuple[MissingResource, ...]:
        """The resources that the page did not get or cannot use, in the order of their finding."""
        return tuple(self._missing)

    @property
    def is_reproducible(self) -> bool:
        """Whether the page has the same warnings each time, so that its image may be cached."""
        is_complete = not (self._missing or self.more)
        return is_complete and REPRODUCIBLE_KINDS.issuperset(self._notes.values())

    def __len__(self) -> int:
        return len(self._missing) + len(self._notes) + self.more

    def __bool__(self) -> bool:
        return len(self) > 0

    def header(self) -> str:
        """The value of `X-Render-Warnings`; empty without warnings."""
        missing = [str(resource) for resource in self._missing]
        room = MAX_ENTRIES - len(self._notes)
        shown, more, size = [], self.more, 0
        for entry in (*missing[:room], *self._notes):
            size += len(entry) + 2
            if size > MAX_HEADER_BYTES:
                more += 1
            else:
                shown.append(entry)
        more += max(0, len(missing) - room)
        return ", ".join([*shown, f"more;count={more}"] if more else shown)


def items(header: str) -> list[str]:
    """The items of a list (RFC 9651); a comma inside a string does not end an item."""
    return [found.strip() for found in _ITEM.findall(header)]


def parsed(header: str) -> list[dict[str, str | int]]:
    """The warnings in the value of `X-Render-Warnings`: each its `warning` and its parameters."""
    return [_parsed_item(text) for text in items(header)]


def _parsed_item(text: str) -> dict[str, str | int]:
    kind, *_ = text.split(";", 1)
    found: dict[str, str | int] = {"warning": kind}
    for name, string, token in _PARAMETER.findall(text[len(kind) :]):
        plain = re.sub(r"\\(.)", r"\1", string)
        found[name] = int(token) if token.isdecimal() else token or plain
    return found


def item(kind: str, parameters: Mapping[str, str]) -> str:
    """One item of the list: a token with parameters; `reason` is a token, others are strings."""
    parts = [_token(kind)]
    for name, value in parameters.items():
        parts.append(f"{name}={_token(value) if name == 'reason' else _string(value)}")
    return ";".join(parts)


def _token(text: str) -> str:
    return text if _TOKEN.match(text) else "unknown"


def _string(text: str) -> str:
    """A string of RFC 9651: printable ASCII, two characters escaped."""
    plain = _UNPRINTABLE.sub("?", text[:MAX_VALUE])
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def displayed(url: str) -> str:
    """An address as the header shows it: short, without user, password, query and fragment.

    A file that came with the page is a relative path. Of `data:` only the media type is left, of
    `blob:` only the origin. Shortening leaves the host recognisable.
    """
    url = url.strip()
    scheme, _, rest = url[:200].partition(":")
    if scheme.lower() == "data":
        return _short("data:" + re.split("[,;]", rest, maxsplit=1)[0])
    if scheme.lower() == "blob":
        return _short("blob:" + _plain(_parts(rest), path=""))
    if url.startswith(ADDRESS):
        return _short(re.split("[?#]", url[len(ADDRESS) :], maxsplit=1)[0]) or "./"
    parts = _parts(url)
    return _short(_plain(parts, parts.path))


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # a page may report anything
        return SplitResult("", "", re.split("[?#]", url, maxsplit=1)[0], "", "")


def _plain(parts: SplitResult, path: str) -> str:
    host = parts.netloc.rpartition("@")[2]
    scheme = f"{parts.scheme}:" if parts.scheme else ""
    slashes = "//" if host or parts.scheme == "file" else ""
    return f"{scheme}{slashes}{host}{path}"


def _short(text: str) -> str:
    plain = _FORBIDDEN.sub("?", text if len(text) <= 4096 else text[:2048] + text[-2048:])
    return plain if len(plain) <= HEAD + TAIL else f"{plain[:HEAD]}...{plain[-TAIL:]}"
