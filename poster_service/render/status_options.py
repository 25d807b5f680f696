"""Statuses of HTTP on which a render fails: a group of `RenderOptions`, and what it decides.

`fail_on` knows two classes of statuses of what a page loads; this names single ones, those of the
page itself too, and hosts that do not count.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from poster_service.render.declaration import Items, Option, OptionGroup

#: A status, or all of one class.
STATUS = r"^[1-5]([0-9]{2}|xx)$"
STATUS_WORDS = "up to 100, each a status like 404, or a class like 4xx"
MAX_STATUSES, MAX_HOSTS = 100, 100
#: A host name, an address, or a domain with all below it.
HOST = r"^\.?[A-Za-z0-9_\[][A-Za-z0-9_.:\]-]*$"

Status = Annotated[str, Field(pattern=STATUS)]


class FailOnStatus(OptionGroup):
    """Statuses that fail a render."""

    at_least_one: ClassVar = ("page", "resources")

    page: Annotated[
        Items[Status],
        Field(max_length=MAX_STATUSES),
        Option(
            "Statuses of the `url` itself, after all redirects. 400 and above fail anyway, unless"
            " `allow_error_status` is set.",
            allowed=STATUS_WORDS,
            around_sources=("url",),
        ),
    ] = ()
    resources: Annotated[
        Items[Status],
        Field(max_length=MAX_STATUSES),
        Option(
            "Statuses of responses to the page's requests.",
            allowed=STATUS_WORDS,
        ),
    ] = ()
    except_hosts: Annotated[
        Items[Annotated[str, Field(max_length=253, pattern=HOST)]],
        Field(max_length=MAX_HOSTS),
        Option(
            "Hosts to which `resources` does not apply; each includes its subdomains.",
            allowed=f"up to {MAX_HOSTS} host names",
            needs=("resources",),
        ),
    ] = ()


@dataclass(frozen=True)
class Statuses:
    """Statuses and classes of them that fail a render; none if it is empty.

    Attributes:
        failing: As the options have them.
        hosts: Hosts, in lower case, whose answers do not count, with all below them.
    """

    failing: Collection[str] = ()
    hosts: Collection[str] = ()

    @classmethod
    def of_resources(cls, options: FailOnStatus | None) -> "Statuses":
        """Those of what a page loads."""
        if options is None:
            return cls()
        hosts = frozenset(one.lower().strip(".[]") for one in options.except_hosts)
        return cls(frozenset(options.resources), hosts)

    @classmethod
    def of_page(cls, options: FailOnStatus | None) -> "Statuses":
        """Those of the page itself."""
        return cls(frozenset(options.page)) if options is not None else cls()

    def fails(self, url: str, status: int) -> bool:
        """Whether an answer with this status from this address fails the render."""
        if not self.failing:
            return False
        if str(status) not in self.failing and f"{status // 100}xx" not in self.failing:
            return False
        return not (self.hosts and self._is_excepted(url))

    def _is_excepted(self, url: str) -> bool:
        try:
            host = (urlsplit(url).hostname or "").lower().rstrip(".")
        except ValueError:
            return False
        above = (host[found.end() :] for found in re.finditer(r"\.", host))
        return host in self.hosts or any(one in self.hosts for one in above)


NO_STATUSES = Statuses()
