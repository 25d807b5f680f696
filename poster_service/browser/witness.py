"""What went wrong on a page and its route cannot see: unusable resources, script errors.

Most of what a page asks for comes to its route. The rest does not: `file:` and mixed content, which
Chrome refuses by itself, and resources that came but were rejected (CORS, integrity, MIME type, a
font or a picture that does not decode). There are two sources for these, both read only once the
page is painted, so that a page cannot keep the event loop busy with them:

- Chrome's own log. The renderer holds the last 1000 entries of a page, console.log not among them;
  `Log.enable` has it send them all at once, and `Log.disable` right after it stops further ones.
- A script in the page, which sees elements that fail. A page can deceive it, but only about itself.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

#: Script errors, and elements that failed to load, that are reported for one document.
MAX_SCRIPT_ERRORS, MAX_LOST_ELEMENTS = 8, 30
#: Findings recorded for one page; the response shows fewer.
MAX_FINDINGS = 100
#: Characters of an address that the script in the page reports.
MAX_ADDRESS = 2_000

# Runs before the page's own scripts. It takes the kind and the place of an error, never its
# message, which may contain the caller's data. Listening costs nothing until something happens.
# Events of CDP's Runtime domain would let a page that floods its console keep the service's event
# loop busy.
LISTEN = """((key) => {
    const errors = [], lost = [];
    const note = (error, where) => {
        const kind = error instanceof Error ? error.constructor.name : typeof (error ?? '');
        if (errors.length < %d) errors.push(kind + where);
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
    Object.defineProperty(window, key, {value: {errors, lost}});
})(%s)"""

# Chrome does not run LISTEN in a page without a script, and an error event does not leave a shadow
# tree: so this also searches for broken pictures. Loading a `data:` URL again only reads its
# beginning. `body` is missing when the page stopped its own parser before the body began; Chrome
# would wait for a body for ever before it paints.
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
    return {errors: heard?.errors, lost: [...heard?.lost ?? [], ...lost],
        empty: !document.body && document.contentType === 'text/html'};
})(window.%s)"""

#: The form of a script error. The page could report anything; what has another form is dropped.
_SCRIPT_ERROR = re.compile(r"[A-Za-z_$][\w$]{0,39}( at \d{1,6}:\d{1,6}| in a promise)\Z", re.ASCII)
_LOST_ELEMENT = re.compile(r"([a-z]{1,20}) (.+)\Z", re.DOTALL)
#: Elements that show pictures.
_PICTURES = frozenset(("img", "image", "input"))


class Finding(NamedTuple):
    """Something that a page did not get, or cannot use.

    Attributes:
        verb: "denied" by a rule of Chrome's, or "failed".
        url: Its URL, as the page or Chrome has it.
        reason: A short stable word, for programs.
    """

    verb: Literal["denied", "failed"]
    url: str
    reason: str


#: Chrome's log entries that contain a URL, with the verb and reason of their finding. Others are
#: ignored.
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


def parse_script_errors(value: object) -> tuple[str, ...]:
    """The script errors in a page's report; what does not look like one is dropped."""
    errors = _strings(value, "errors", MAX_SCRIPT_ERRORS)
    return tuple(text for text in errors if _SCRIPT_ERROR.match(text))


def parse_lost_elements(value: object) -> tuple[Finding, ...]:
    """The elements in a page's report that failed to load."""
    return tuple(
        Finding("failed", found[2], "broken_image" if found[1] in _PICTURES else "unusable")
        for text in _strings(value, "lost", 2 * MAX_LOST_ELEMENTS)
        if (found := _LOST_ELEMENT.match(text[:MAX_ADDRESS])) is not None and found[1] != "source"
    )


def _strings(value: object, name: str, most: int) -> Iterator[str]:
    """The strings in a list of a page's report, of which nothing can be taken for granted."""
    listed = value.get(name) if isinstance(value, dict) else None
    for text in listed[:most] if isinstance(listed, list) else ():
        if isinstance(text, str):
            yield text


def finding_of(entry: dict[str, Any]) -> Finding | None:
    """The finding in an entry of Chrome's log (CDP: Log.LogEntry), if there is one."""
    text, url = str(entry.get("text", ""))[:4_000], str(entry.get("url", ""))
    for pattern, verb, reason in MESSAGES:
        if (found := pattern.search(text)) is not None:
            return Finding(verb, found[1] if pattern.groups else url, reason)
    if (failed := _NETWORK.match(text)) is not None:
        return Finding("failed", url, failed[1].lower())
    return None


class Witness:
    """Collects the findings and script errors of one page."""

    def __init__(self) -> None:
        self._refused: list[Finding] = []
        self._lost: tuple[Finding, ...] = ()
        #: Errors of scripts that were added to the page.
        self._added: tuple[str, ...] = ()
        #: Errors of the page's scripts, e.g. "TypeError at 3:17".
        self.script_errors: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings; Chrome's own, which give a reason, before those of the page's script."""
        return (*self._refused, *self._lost)

    def hear(self, report: object) -> None:
        """Take the report of the script in the page (`SEARCH`)."""
        self.script_errors = (*self._added, *parse_script_errors(report))[:MAX_SCRIPT_ERRORS]
        self._lost = parse_lost_elements(report)

    def read(self, event: dict[str, Any]) -> None:
        """Take an entry of Chrome's log (CDP: Log.entryAdded)."""
        if (finding := finding_of(event["entry"])) is not None:
            self._add(finding)

    def note_script_error(self, details: dict[str, Any]) -> None:
        """Note the error of a script that was added (CDP: Runtime.ExceptionDetails)."""
        exception = details.get("exception", {})
        kind = exception.get("className") or exception.get("type")
        is_promise = "in promise" in str(details.get("text"))
        at = f"at {details.get('lineNumber', 0) + 1}:{details.get('columnNumber', 0) + 1}"
        error = f"{kind} {'in a promise' if is_promise else at}"
        self._added += parse_script_errors({"errors": [error]})
        self.script_errors = self._added[:MAX_SCRIPT_ERRORS]

    def note_unfinished(self, url: str) -> None:
        """Note a request that had not been answered when the page's time was up."""
        self._add(Finding("failed", url, "timeout"))

    def note_navigation(self, url: str) -> None:
        """Note that the page tried to navigate away, which is denied."""
        self._add(Finding("denied", url, "navigation"))

    def _add(self, finding: Finding) -> None:
        if len(self._refused) < MAX_FINDINGS:
            self._refused.append(finding)
