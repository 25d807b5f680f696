"""What Chrome knows of a page that no request shows: what it refused or could not use, and errors.

Most of what a page asks for comes to its route. The rest does not: `file:` and mixed content, which
Chrome refuses by itself, and what came but was rejected (CORS, integrity, MIME type, a font or a
picture that does not decode). Two witnesses tell of it, both only once the page is painted, so that
a page cannot keep the event loop busy with them:

- Chrome's own messages. The renderer holds the last 1000 of a page, console.log not among them;
  `Log.enable` gives them all at once, and `Log.disable` with it keeps others from coming.
- A script in the page, which sees elements that fail. It is the page's to deceive, about itself.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

#: Errors of scripts, and elements, that one document tells of.
COMPLAINTS, LOSSES = 8, 30
#: Findings kept of one page; its answer shows fewer.
MAX_FINDINGS = 100
#: Characters of an address that are handed on by the page's script.
MAX_ADDRESS = 2_000

# Runs before the page's own scripts. Of an error the kind and the place, never its words, which may
# hold the caller's data. Listening costs nothing until something happens; Chrome's telling of it
# (Runtime) would let a page that floods its console keep everybody's event loop busy.
LISTEN = """((key) => {
    const said = [], lost = [];
    const note = (error, where) => {
        const kind = error instanceof Error ? error.constructor.name : typeof (error ?? '');
        if (said.length < %d) said.push(kind + where);
    };
    const lose = (element) => {
        const link = element.currentSrc || element.src || element.href || element.data || '';
        const url = new URL(link.baseVal ?? link, element.baseURI).href;
        if (link && lost.length < %d) lost.push(`${element.localName} ${url}`.slice(0, %d));
    };
    addEventListener('error', (event) => {
        if (event.target === window) note(event.error, ` at ${event.lineno}:${event.colno}`);
        else if (event.isTrusted) try { lose(event.target); } catch { }
    }, true);
    addEventListener('unhandledrejection', (event) => note(event.reason, ' in a promise'));
    Object.defineProperty(window, key, {value: {said, lost}});
})(%s)"""

# Chrome does not run LISTEN in a page without a script, and an error event does not leave a shadow
# tree: so pictures are also looked for. Loading a `data:` address again only reads its beginning.
# `body` is missing when the page stopped its own parser before the body began; Chrome would wait
# for it for ever before it paints.
SEARCH = """(async (heard) => {
    const lost = [], waits = [];
    const lose = (name, url) => {
        if (lost.length < %d) lost.push(`${name} ${url}`.slice(0, %d));
    };
    const load = (url) => {
        const picture = new Image();
        waits.push(new Promise((done) => {
            picture.onload = done;
            picture.onerror = () => { lose('img', url); done(); };
        }));
        picture.src = url;
    };
    const search = (root) => {
        for (const one of root.querySelectorAll('*')) {
            const name = one.localName;
            if (one.shadowRoot) search(one.shadowRoot);
            if (name === 'img') {
                if (one.currentSrc && one.complete && !one.naturalWidth)
                    lose(name, new URL(one.currentSrc, one.baseURI).href);  // it may be relative
            } else if (name === 'image' || name === 'input') {
                const url = one.href?.baseVal ?? one.src ?? '';
                if (url.startsWith('data:') && waits.length < %d) load(url);
            }
        }
    };
    search(document);
    await Promise.all(waits);
    return {said: heard?.said, lost: [...heard?.lost ?? [], ...lost], empty: !document.body};
})(window.%s)"""

#: What a complaint looks like; the page could put anything there, and nothing else is believed.
_COMPLAINT = re.compile(r"[A-Za-z_$][\w$]{0,39}( at \d{1,6}:\d{1,6}| in a promise)\Z", re.ASCII)
_LOSS = re.compile(r"([a-z]{1,20}) (.+)\Z", re.DOTALL)
#: Elements that show pictures.
_PICTURES = frozenset(("img", "image", "input"))


class Finding(NamedTuple):
    """Something that a page did not get or cannot use.

    Attributes:
        verb: "denied" by a rule of Chrome, or "failed".
        url: Its address, as the page or Chrome has it.
        reason: Short and stable, for programs.
    """

    verb: Literal["denied", "failed"]
    url: str
    reason: str


#: Chrome's messages of which an address is a part, its verb and its reason. Only what is here
#: counts: a message in other words than these is a matter of the page.
MESSAGES: tuple[tuple[re.Pattern[str], Literal["denied", "failed"], str], ...] = tuple(
    (re.compile(text), verb, reason)  # type: ignore[misc]  # the table's own literals
    for text, verb, reason in (
        (r"Not allowed to load local resource: (\S+)", "denied", "scheme"),
        (r"Mixed Content: .* requested an insecure .*'([^']*)'\. This request has been blocked",
         "denied", "mixed_content"),
        (r"Access to .* at '([^']*)' .*blocked by CORS policy", "failed", "cors"),
        (r"Refused to (?:execute script|apply style) from '([^']*)' because its MIME type",
         "failed", "mime_type"),
        (r"Failed to load module script: .*MIME type", "failed", "mime_type"),
        (r"Failed to find a valid digest in the 'integrity' attribute for resource '([^']*)'",
         "failed", "integrity"),
        (r"(?:Refused to load|Loading|Connecting to|Framing) .*'([^']*)'.* violates the following",
         "denied", "csp"),
        (r"Refused to (?:display|frame) '([^']*)'", "failed", "frame_refused"),
        (r"Failed to decode downloaded font: (\S+)", "failed", "broken_font"),
    )
)  # fmt: skip
_NETWORK = re.compile(r"Failed to load resource: net::ERR_([A-Z_]{1,40})")


def complaints_of(told: object) -> tuple[str, ...]:
    """Errors as a page told them, but only what has their form; it may have lied."""
    return tuple(one for one in _strings(told, "said", COMPLAINTS) if _COMPLAINT.match(one))


def losses_of(told: object) -> tuple[Finding, ...]:
    """Elements that failed, as a page told them."""
    return tuple(
        Finding("failed", found[2], "broken_image" if found[1] in _PICTURES else "unusable")
        for one in _strings(told, "lost", 2 * LOSSES)
        if (found := _LOSS.match(one[:MAX_ADDRESS])) is not None and found[1] != "source"
    )


def _strings(told: object, name: str, most: int) -> Iterator[str]:
    listed = told.get(name) if isinstance(told, dict) else None
    for one in listed[:most] if isinstance(listed, list) else ():
        if isinstance(one, str):
            yield one


def finding_of(entry: dict[str, Any]) -> Finding | None:
    """What a message of Chrome's (CDP: Log.LogEntry) says that a page went without."""
    text, url = str(entry.get("text", ""))[:4_000], str(entry.get("url", ""))
    for pattern, verb, reason in MESSAGES:
        if (found := pattern.search(text)) is not None:
            return Finding(verb, found[1] if pattern.groups else url, reason)
    if (failed := _NETWORK.match(text)) is not None:
        return Finding("failed", url, failed[1].lower())
    return None


class Witness:
    """Collects the findings of one page."""

    def __init__(self) -> None:
        self._refused: list[Finding] = []
        self._lost: tuple[Finding, ...] = ()
        #: What went wrong in the page's scripts, e.g. "TypeError at 3:17".
        self.script_errors: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them; Chrome's own, which say why, before those of the page's script."""
        return (*self._refused, *self._lost)

    def hear(self, told: object) -> None:
        """Take what the script in the page has heard, or found."""
        self.script_errors = complaints_of(told)
        self._lost = losses_of(told)

    def read(self, event: dict[str, Any]) -> None:
        """Take a message of Chrome's (CDP: Log.entryAdded)."""
        if (finding := finding_of(event["entry"])) is not None:
            self._add(finding)

    def stayed(self, url: str) -> None:
        """The page wanted to go elsewhere and was not let."""
        self._add(Finding("denied", url, "navigation"))

    def _add(self, finding: Finding) -> None:
        if len(self._refused) < MAX_FINDINGS:
            self._refused.append(finding)
