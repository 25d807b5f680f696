"""What a caller should know of a picture: the value of `X-Render-Warnings` (RFC 9651, a list).

Two sorts: what the page asked for and did not get or could not use, by its address (`add`), and
anything else worth knowing, such as a script error (`note`). Only the first makes `strict` fail.
Bounded in entries and bytes, and fit for a header whatever a page puts into an address.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from poster_service.browser.types import ADDRESS

Verb = Literal["denied", "failed"]

#: Entries of one answer; with the bounds below they fit into a header line that every proxy takes.
MAX_TOLD = 20
#: Entries that are no missing subresource, in all and of one kind.
MAX_NOTES, MAX_NOTES_OF_A_KIND = 10, 6
#: Characters of an address: so many of its beginning, dots, so many of its end.
HEAD, TAIL = 90, 40
#: Characters of any other parameter.
MAX_VALUE = 300
#: Kinds of notes that depend on nothing but the page, the fonts and the settings.
REPRODUCIBLE = frozenset(("missing_glyph", "webgl"))
#: Bytes of the whole value.
MAX_HEADER = 4_000

#: What an address may not have in a header. Chrome escapes all of it, a page's own report does not.
_ODD = re.compile(r"[^A-Za-z0-9._~:/@!$&()*+,;=%\[\]-]")
_UNPRINTABLE = re.compile(r"[^ -~]")
_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]{0,63}\Z")


@dataclass(frozen=True)
class Missing:
    """Something that the page asked for and did not get, or could not use.

    Attributes:
        verb: "denied" by a rule, or "failed" on the way.
        url: As of `shown`; "" when the page asked for something without an address.
        reason: Short and stable, for programs.
        similar: A file that is there and differs only in upper and lower case; mostly "".
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
    """All that the caller of one render should know, each thing once.

    Attributes:
        more: What did not fit in.
        asked: Addresses that the page's route was asked for.
        settled: Those of them of which it has said all that there is to say.
    """

    more: int = 0
    asked: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    _missing: dict[Missing, None] = field(default_factory=dict)
    _notes: dict[str, str] = field(default_factory=dict)

    def add(self, verb: Verb, url: str, reason: str, similar: str = "") -> bool:
        """Note something that the page went without; whether that is new, and worth a log line."""
        one = Missing(verb, shown(url), reason, shown(similar))
        if one in self._missing:
            return False
        if len(self._missing) >= MAX_TOLD:
            self.more += 1
            return False
        self._missing[one] = None
        return True

    def note(self, kind: str, /, **parameters: str) -> None:
        """Note anything else that the caller should know; it does not make `strict` fail.

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

    def told(self) -> tuple[Missing, ...]:
        """What the page went without, in the order in which it was found."""
        return tuple(self._missing)

    @property
    def is_reproducible(self) -> bool:
        """Whether the same page has the same warnings each time, so that it may be cached."""
        return not (self._missing or self.more) and REPRODUCIBLE.issuperset(self._notes.values())

    def __len__(self) -> int:
        return len(self._missing) + len(self._notes) + self.more

    def __bool__(self) -> bool:
        return len(self) > 0

    def header(self) -> str:
        """The value of `X-Render-Warnings`; empty when there is nothing to say."""
        missing = [str(one) for one in self._missing]
        room = MAX_TOLD - len(self._notes)
        words, more, size = [], self.more, 0
        for word in (*missing[:room], *self._notes):
            size += len(word) + 2
            if size > MAX_HEADER:
                more += 1
            else:
                words.append(word)
        more += max(0, len(missing) - room)
        return ", ".join([*words, f"more;count={more}"] if more else words)


def items(header: str) -> list[str]:
    """The items of a list (RFC 9651); a comma in a string is no end of one."""
    return [one.strip() for one in _ITEM.findall(header)]


def item(kind: str, parameters: Mapping[str, str]) -> str:
    """One item of the list: a token with parameters, which are strings but for `reason`."""
    words = [_token(kind)]
    for name, value in parameters.items():
        words.append(f"{name}={_token(value) if name == 'reason' else _string(value)}")
    return ";".join(words)


def _token(text: str) -> str:
    return text if _TOKEN.match(text) else "unknown"


def _string(text: str) -> str:
    """A string of RFC 9651: printable ASCII, two characters escaped."""
    plain = _UNPRINTABLE.sub("?", text[:MAX_VALUE])
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shown(url: str) -> str:
    """An address as a caller may see it again: short, without user, password, query and fragment.

    A file of the page's own is a relative path. Of `data:` only the media type is left, of `blob:`
    only the origin. The host is always whole enough to be recognised.
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
    except ValueError:  # what the page made up is no address at all
        return SplitResult("", "", re.split("[?#]", url, maxsplit=1)[0], "", "")


def _plain(parts: SplitResult, path: str) -> str:
    host = parts.netloc.rpartition("@")[2]
    scheme = f"{parts.scheme}:" if parts.scheme else ""
    slashes = "//" if host or parts.scheme == "file" else ""
    return f"{scheme}{slashes}{host}{path}"


def _short(text: str) -> str:
    plain = _ODD.sub("?", text if len(text) <= 4096 else text[:2048] + text[-2048:])
    return plain if len(plain) <= HEAD + TAIL else f"{plain[:HEAD]}...{plain[-TAIL:]}"
