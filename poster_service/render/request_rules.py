"""What becomes of a page's requests by its caller's wish: blocked, answered, or fetched.

A pattern has `*` and nothing else: each of its parts is searched for once, from where the last one
was found. Expressions are RE2's (`fetch.expressions`), and bounded.
"""

from collections.abc import Sequence

from poster_service.browser.types import Reply, Request
from poster_service.fetch.expressions import Expressions
from poster_service.render.options import RenderOptions
from poster_service.render.request_options import Allow, Block, CannedResponse

#: Characters of an address that are compared with patterns: of a longer one as many of both ends.
MAX_COMPARED = 16_384


class RequestRules:
    """The rules of one page; those for the page itself are none."""

    def __init__(
        self,
        block: Block | None = None,
        allow: Allow | None = None,
        respond: Sequence[CannedResponse] = (),
    ) -> None:
        """Prepare patterns and expressions.

        Args:
            block: What is not loaded; None for nothing.
            allow: All that is loaded, apart from `block`; None for everything.
            respond: What is answered here, unless it is blocked.
        """
        self._blocked = _Named(block) if block else None
        self._allowed = _Named(allow) if allow else None
        self._responses = [_reply(one) for one in respond]
        self._answered = Expressions([one.expression for one in respond])

    @classmethod
    def of(cls, options: RenderOptions) -> "RequestRules":
        """The rules in the options of a render."""
        return cls(options.block, options.allow, options.respond)

    async def blocks(self, request: Request) -> bool:
        """Whether a request is blocked; that for the page itself never is."""
        return not request.is_main and await self.blocks_address(request.kind, request.url)

    async def blocks_address(self, kind: str, url: str) -> bool:
        """Whether an address is blocked that is loaded as this kind of resource."""
        if self._blocked and (self._blocked.has_type(kind) or await self._blocked.has_address(url)):
            return True
        if self._allowed is None:
            return False
        is_allowed = not self._allowed.types or self._allowed.has_type(kind)
        if is_allowed and self._allowed.names_addresses:
            is_allowed = await self._allowed.has_address(url)
        return not is_allowed

    async def answer(self, request: Request) -> Reply | None:
        """The caller's own response to a request; None if it has none, and for the page itself."""
        if request.is_main or not self._responses:
            return None
        found = await self._answered.matching(request.url)
        return self._responses[found[0]] if found else None


class _Named:
    """Kinds and addresses that a group of options names."""

    def __init__(self, group: Block | Allow) -> None:
        # Chrome's browser process knows XHR only: of fetch and EventSource, too (measured).
        self.types = frozenset(group.types) | ({"xhr"} if "fetch" in group.types else frozenset())
        self._patterns = [tuple(pattern.split("*")) for pattern in group.patterns]
        self._expressions = Expressions(group.expressions)

    @property
    def names_addresses(self) -> bool:
        """Whether it says anything of addresses."""
        return bool(self._patterns or self._expressions)

    def has_type(self, kind: str) -> bool:
        """Whether it names this kind of resource, as CDP calls it."""
        return kind.lower() in self.types

    async def has_address(self, url: str) -> bool:
        """Whether a pattern or an expression of it matches an address."""
        if self._patterns:
            text = _compared(url)
            if any(matches(text, parts) for parts in self._patterns):
                return True
        return bool(await self._expressions.matching(url))


def _compared(url: str) -> str:
    plain = url.partition("#")[0]
    half = MAX_COMPARED // 2
    return plain if len(plain) <= MAX_COMPARED else plain[:half] + plain[-half:]


def _reply(given: CannedResponse) -> Reply:
    """A response as a page gets it; `content_type` has precedence over a header of that name."""
    headers = given.headers
    if given.content_type is not None:
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        headers["Content-Type"] = given.content_type
    return Reply(given.status, tuple(headers.items()), given.content())


def matches(text: str, parts: tuple[str, ...]) -> bool:
    """Whether a text is these parts in this order, with any characters between them."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return text == first
    if len(text) < len(first) + len(last) or not text.startswith(first):
        return False
    if not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in parts[1:-1]:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
