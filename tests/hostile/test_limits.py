"""No page takes more than its share: floods, bombs, bodies without an end, pages that ask back.

Each ends in bounded time with one of the promised answers, and the service then renders as before.
"""

import time

import pytest

from tests.conftest import SETTLE_SECONDS
from tests.hostile.conftest import HOLD, Seen, World, in_both_chromes, in_either_mode
from tests.marks import some_in_quick
from tests.web.pictures import at, decode

#: What keeps a page at it for a while, so that it is the limit that ends it.
LONG = 2500


def ended(seen: Seen, *codes: str) -> None:
    """The render failed in one of these ways."""
    assert seen.status in (502, 504), seen
    assert seen.problem["code"] in codes, seen.problem


def forever(body: str) -> str:
    """A script that never ends and yet lets others run."""
    return (
        f"<body><script>(async () => {{ for (let n = 0; ; n++) {{ {body};"
        " await new Promise((go) => setTimeout(go)) } })()</script>"
    )


DIALOGS = {
    "alert": "<script>alert(1)</script>",
    "confirm": "<script>confirm(1); prompt(2, 3)</script>",
    "beforeunload": "<script>onbeforeunload = (e) => (e.preventDefault(), 'x');"
    "document.body.click(); location = 'https://hostile.test/green'</script>",
    "unload": "<script>addEventListener('pagehide', () => { for (;;); });"
    "location.reload()</script>",
    "print": "<script>print(); document.execCommand('print')</script>",
    "in-a-frame": "<iframe srcdoc='<script>alert(1); print(); parent.alert(2)</script>'></iframe>",
    "in-a-hostile-frame": "<iframe src='https://hostile.test/typed?body=<script>alert(1);"
    "prompt(2);confirm(3);print();onbeforeunload=()=>1;top.location=1</script>'></iframe>",
    "in-a-window": "<script>const w = open('about:blank'); w?.alert(1); w?.print()</script>",
    "file-chooser": "<input type=file id=f><script>f.click(); f.showPicker?.();"
    "</script><script>showOpenFilePicker(); showDirectoryPicker()</script>",
    "password": "<iframe src='https://hostile.test/auth'></iframe>"
    "<img src='https://hostile.test/auth'><script>fetch('https://hostile.test/auth')</script>",
    "password-in-the-address": "<img src='https://a:b@hostile.test/auth'>",
    "permissions": "<script>Notification.requestPermission(); navigator.geolocation"
    ".getCurrentPosition(() => 0); navigator.mediaDevices.getUserMedia({audio: true});"
    "navigator.requestMIDIAccess({sysex: true}); navigator.clipboard.readText();"
    "navigator.wakeLock.request(); navigator.storage.persist()</script>",
    "full-screen": "<script>document.documentElement.requestFullscreen();"
    "document.body.requestPointerLock()</script>",
    "payment": "<script>new PaymentRequest([{supportedMethods: 'https://hostile.test/'}], "
    "{total: {label: 'x', amount: {currency: 'EUR', value: 1}}}).show()</script>",
    "protocol": "<script>location = 'mailto:a@b'; navigator.registerProtocolHandler('web+x', "
    "'https://poster.invalid/%s')</script>",
    "download": "<a id=a download=x href='data:text/plain,x'></a><script>a.click()</script>"
    "<iframe src='https://hostile.test/typed?type=application/zip&body=PK'></iframe>"
    "<iframe src='https://hostile.test/typed?body=x&header=Content-Disposition=attachment'>"
    "</iframe>",
    "pdf": "<embed src='https://hostile.test/typed?type=application/pdf&body=%25PDF-1.7'>"
    "<iframe src='https://hostile.test/typed?type=application/pdf&body=%25PDF-1.7'></iframe>",
    "pdf-within": "<embed type='application/pdf' src='data:application/pdf,%25PDF-1.7'>"
    "<iframe src='data:application/pdf,%25PDF-1.7'></iframe><iframe id=b></iframe><script>"
    "b.src = URL.createObjectURL(new Blob(['%PDF-1.7'], {type: 'application/pdf'}))</script>",
    "stop": "<script>stop()</script>",
    "write": "<script>document.open(); document.write('<p>x'); document.close()</script>",
    "no-document": "<script>document.documentElement.remove()</script>",
    "history": "<script>for (let i = 0; i < 300; i++) { history.pushState(i, '', '/' + i);"
    "location.hash = i } history.back(); history.go(-5)</script>",
    "broken-tools": "<script>for (const n of Object.getOwnPropertyNames(window)) try { "
    "window[n] = null } catch {} Promise.prototype.then = () => { throw 'x'.repeat(1e6) };"
    "Object.defineProperty(document, 'fonts', {get() { throw 'x'.repeat(1e7) }})</script>",
    "wrong-types": "".join(
        f"<img src='https://hostile.test/typed?type={kind}&body=x'>"
        f"<link rel=stylesheet href='https://hostile.test/typed?type={kind}&body=x'>"
        for kind in ("text/html", "image/png", "image/svg%2Bxml", "application/wasm", "x", "%00")
    ),
    "odd-headers": "".join(
        f"<img src='https://hostile.test/typed?type=image/png&body=x&header={header}'>"
        for header in (
            "Content-Length=5", "Transfer-Encoding=gzip", "Content-Encoding=zstd",
            "Content-Encoding=gzip, gzip, gzip", "Set-Cookie=a=1", "Refresh=0", "Clear-Site-Data=*",
            "Location=/green", "X-Long=" + "x" * 7000,
        )
    ),
    "odd-statuses": "".join(
        f"<img src='https://hostile.test/go?to=/green&status={status}'>"
        for status in (100, 101, 204, 205, 206, 300, 304, 305, 306, 401, 407, 418, 500, 599, 999)
    ),
}  # fmt: skip


#: Those that may share a page with others, which they all do; each alone is for `make endurance`.
SOCIABLE = ("alert", "confirm", "print", "in-a-frame", "in-a-hostile-frame", "in-a-window",
            "file-chooser", "password", "password-in-the-address", "permissions", "payment",
            "download", "pdf", "wrong-types", "odd-headers")  # fmt: skip
#: Those for which full Chromium has most of its own; the others are for `make endurance` there.
WITH_A_FACE = ("beforeunload", "full-screen", "protocol", "pdf-within", "all")
DIALOGS["all"] = "".join(DIALOGS[name] for name in SOCIABLE)


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[pytest.mark.endurance] * (one in SOCIABLE)) for one in DIALOGS],
)
def test_nothing_that_asks_a_person_holds_up_a_render(world: World, name: str) -> None:
    """No person can answer: it is dismissed, denied or ignored, and the picture is made."""
    settings = {"fetch_timeout_ms": 1_000}
    seen = world.render("<body><p>x" + DIALOGS[name], hold=100, settings=settings)
    assert seen.status == 200, seen.body  # and so within its time
    seen.assert_nothing_got_through()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(one, marks=[pytest.mark.endurance] * (one not in WITH_A_FACE))
        for one in DIALOGS
        if one not in SOCIABLE
    ],
)
def test_nor_one_in_full_chromium(full_either: World, name: str) -> None:
    """Full Chromium has a dialog for each of them, and displays it on no screen."""
    seen = full_either.render("<body><p>x" + DIALOGS[name], hold=100)
    assert seen.status == 200, seen.body


NO_VIEWER = (
    "<body><script>document.body.style.background = navigator.pdfViewerEnabled ? 'red' : '#0f0'"
    "</script>"
)


def test_there_is_no_viewer_of_pdfs(world: World) -> None:
    """Which in full Chromium is a program of its own, with addresses of its own."""
    seen = world.render(NO_VIEWER)
    assert at(decode(seen.body), 5, 5) == (0, 255, 0, 255)


def test_nor_is_there_one_in_full_chromium(full_either: World) -> None:
    """A page could start it, and at times it never got ready."""
    seen = full_either.render(NO_VIEWER)
    assert at(decode(seen.body), 5, 5) == (0, 255, 0, 255)


def test_windows_are_not_opened(world: World) -> None:
    """Nor is anything of them fetched, by a script, a link or a form."""
    page = """<a id=a target=_blank href='https://hostile.test/window'></a>
        <form id=f target=_blank action='https://hostile.test/window'></form>
        <script>for (let i = 0; i < 50; i++) open('https://hostile.test/window');
        a.click(); f.submit()</script>"""
    seen = world.render(page)
    assert seen.status == 200
    assert not any("/window" in hit for hit in seen.hits)


FLOODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "requests": (
        forever("for (let i = 0; i < 900; i++) new Image().src = 'https://10.0.0.1/' + n + i"),
        ("page_failed", "render_timeout"),
    ),
    "dialogs": ("<script>for (;;) alert(1)</script>", ("page_failed", "render_timeout")),
    "large-bodies": (
        forever("fetch('https://hostile.test/x', {method: 'POST', mode: 'no-cors',"
                " body: new Uint8Array(4e6)}).catch(() => {})"),
        ("page_failed",),
    ),
    "one-huge-body": (
        "<script>fetch('https://hostile.test/x', {method: 'POST', mode: 'no-cors',"
        "body: new Uint8Array(9e7)}).catch(() => {})</script>",
        ("page_failed",),
    ),
    "huge-message": ("<script>for (;;) alert('x'.repeat(5e7))</script>",
                     ("page_failed", "render_timeout")),
    "script-heap": ("<script>const a = []; for (;;) a.push(new Array(1e6).fill(Math.random()))"
                    "</script>", ("page_failed", "page_crashed")),
    "array-buffers": ("<script>const a = []; for (;;) a.push(new Uint8Array(5e7).fill(1))</script>",
                      ("page_failed", "page_crashed")),
    "strings": ("<script>let s = 'x'; const a = []; for (;;) { a.push(s + a.length); "
                "if (s.length < 1e8) s += s; a.at(-1).charCodeAt(5) }</script>",
                ("page_failed", "page_crashed", "render_timeout")),
    "elements": ("<body><script>for (;;) document.body.append(document.createElement('div'), 'x')"
                 "</script>", ("page_failed", "page_crashed", "render_timeout")),
    "loop": ("<script>for (;;);</script>", ("render_timeout",)),
    "loop-in-the-end": ("<script>addEventListener('load', () => { for (;;); })</script>",
                        ("render_timeout",)),
    "pattern": ("<script>/^(a+)+$/.test('a'.repeat(99) + 'b')</script>", ("render_timeout",)),
    "image-bomb": ("<img src='https://hostile.test/pixels?side=22000'>",
                   ("page_failed", "page_crashed", "render_timeout")),
}  # fmt: skip


#: Limits that a flood reaches soon; other pages are far from them.
NARROW = {"page_max_messages": 1_000, "page_memory_mib": 512}


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_with_a_promised_answer(any_world: World, name: str) -> None:
    """Each flood ends in its time, and the next render is as good as ever."""
    page, codes = FLOODS[name]
    # One that must end by a limit and not by its time gets time enough on a loaded machine.
    timeout_ms = 20_000
    if "render_timeout" in codes:
        timeout_ms = 3_000 if len(codes) > 1 else 1_500
    begin = time.monotonic()
    seen = any_world.render(page, hold=LONG, timeout_ms=timeout_ms, settings=NARROW)
    assert time.monotonic() - begin < SETTLE_SECONDS + timeout_ms / 1_000
    ended(seen, *codes)
    assert any_world.render("<p>x", hold=0, settings=NARROW).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("name", ["array-buffers", "dialogs", "one-huge-body"])
def test_a_flood_of_each_kind_ends_where_chromes_are_shared(shared_world: World, name: str) -> None:
    """One by messages, one by bytes, one by memory; the others are above, in a Chrome each."""
    page, codes = FLOODS[name]
    seen = shared_world.render(page, hold=LONG, timeout_ms=20_000, settings=NARROW)
    ended(seen, *codes)
    assert shared_world.render("<p>x", hold=0, settings=NARROW).status == 200


HARMLESS = {
    "console": forever("for (let i = 0; i < 99; i++) console.log('x'.repeat(999), new Error())"),
    "console-of-frames": "<iframe src='https://hostile.test/typed?body=<script>setInterval(()=>"
    "{for(let i=0;i<99;i++)console.log(i)})</script>'></iframe>",
    "titles": forever("document.title = n"),
    "errors": forever("setTimeout(() => { throw new Error('x') })"),
    "frames": forever("const f = document.createElement('iframe'); document.body.append(f);"
                      "f.remove()"),
    "image-too-large-for-chrome": "<img src='https://hostile.test/pixels?side=30000'>",
    "canvases": "<body><script>for (let i = 0; i < 50; i++) { const c = document.createElement("
    "'canvas'); c.width = c.height = 8000; c.getContext('2d').fillRect(0, 0, 9, 9);"
    "document.body.append(c) }</script>",
    "nested": "<script>document.write('<div>'.repeat(20000))</script>",
    "svg-bomb": "<svg xmlns='http://www.w3.org/2000/svg'><defs><g id=a0><path d='M0 0h1'/></g>"
    + "".join(f"<g id=a{i}>{f'<use href=#a{i - 1} />' * 4}</g>" for i in range(1, 6))
    + "</defs><use href=#a5 /></svg>",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_merely_loud_costs_its_own_render_at_most(either_world: World, name: str) -> None:
    """Painted, or out of its own time or memory; and the next render is as good as ever."""
    seen = either_world.render(HARMLESS[name], hold=500, timeout_ms=5_000)
    assert seen.status in (200, 502, 504), seen.body
    seen.assert_nothing_got_through()
    assert either_world.render("<p>x", hold=0).status == 200


@pytest.mark.parametrize("name", ["console", "errors"])
def test_a_console_goes_nowhere(world: World, name: str) -> None:
    """Neither through the pipe nor to a file: headless-shell wrote 440 MB of it in 2.5 s."""
    reported = world.command(render={"html": HARMLESS[name] + HOLD.format(1000)}, do="measure")
    assert reported["status"] == 200
    assert reported["disk"] < 8 << 20


@pytest.mark.slow
def test_bodies_that_never_end_or_never_come_are_given_up(any_world: World) -> None:
    """Endless, dripping, silent, endless headers and hints: each costs the page that thing only."""
    kinds = ("endless", "drip", "silent", "endlessheaders", "early")
    page = "".join(f"<link rel=stylesheet href='https://hostile.test/{kind}'>" for kind in kinds)
    settings = {"fetch_timeout_ms": 4_000, "fetch_max_bytes": 1 << 20}
    seen = any_world.render(page, hold=0, timeout_ms=60_000, settings=settings)
    assert seen.status == 200
    assert seen.warned("failed", "hostile.test", "timeout")
    assert seen.warned("failed", "hostile.test", "too_large")


@pytest.mark.parametrize(
    "coding", some_in_quick(["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity"], 3)
)
def test_a_bomb_is_not_unpacked(world: World, coding: str) -> None:
    """300 MB in 300 KB: given up after 16 MiB, or for a coding that is not known."""
    coded = coding.replace(" ", "%20")
    page = f"<link rel=stylesheet href='https://hostile.test/bomb?coding={coded}'>"
    seen = world.render(page, hold=0)
    assert seen.status == 200
    assert coding == "identity" or "failed" in seen.warnings


def test_a_page_gets_so_many_bytes_in_all(world: World) -> None:
    """Together, not each; what came before stays in the picture."""
    page = "".join(
        f"<link rel=stylesheet href='https://hostile.test/big?mb=1&{i}'>" for i in range(9)
    )
    seen = world.render(page, settings={"fetch_total_bytes": 4 << 20})
    assert seen.status == 200
    assert seen.warned("denied", "hostile.test", "bytes")


@pytest.mark.parametrize(("hops", "fine"), [(3, True), (4, False)])
def test_redirects_are_counted(any_world: World, hops: int, fine: bool) -> None:
    """Three are allowed here, and three are followed."""
    page = f"<img src='https://hostile.test/hops?n={hops}'>"
    seen = any_world.render(page, settings={"fetch_max_redirects": 3})
    assert ("reason=redirects" not in seen.warnings) == fine
    assert len([hit for hit in seen.hits if "/hops" in hit]) == 4


def test_a_redirect_to_itself_ends(any_world: World) -> None:
    """For a picture, a frame and a script, within ten."""
    page = """<img src='https://hostile.test/round'><iframe src='https://hostile.test/round'>
        </iframe><script>fetch('https://hostile.test/round')</script>"""
    seen = any_world.render(page)
    assert seen.status == 200
    assert len([hit for hit in seen.hits if "/round" in hit]) == 3 * 11


@in_both_chromes
def test_a_page_may_ask_for_so_many_things(any_world: World) -> None:
    """POSTER_FETCH_MAX_REQUESTS, and the answer says so."""
    page = "".join(f"<img src='https://hostile.test/green?{i}'>" for i in range(30))
    seen = any_world.render(page, hold=0, settings={"fetch_max_requests": 10})
    assert len(seen.hits) == 10
    assert seen.warnings == 'denied;url="https://hostile.test/green";reason=requests'


@pytest.mark.slow
def test_warnings_of_a_hundred_hosts_fit_into_a_header(world: World) -> None:
    """And none of them can write a header of its own."""
    page = "".join(f"<img src='https://h{i}.{'x' * 60}.test/'>" for i in range(100))
    seen = world.render(page, hold=0)
    assert seen.status == 200
    assert len(seen.warnings) < 4096
    assert "more;count=" in seen.warnings


#: Red where something was there before, blue where it could not be kept, lime otherwise.
KEEP = """<body style='margin:0;background:gray'><script>(async () => {
    const there = async () => document.cookie || localStorage.length || sessionStorage.length ||
        (await caches.keys()).length || (await indexedDB.databases()).length || window.name ||
        history.length > FIRST || (await navigator.serviceWorker.getRegistrations()).length ||
        (await navigator.storage.getDirectory().then(async (d) => {
            for await (const _ of d.keys()) return true })) ||
        await navigator.clipboard.readText().catch(() => '');
    const before = await there();
    document.cookie = 'a=1; Max-Age=999; Secure'; localStorage.a = sessionStorage.a = 'x';
    await caches.open('a').then((c) => c.put('/a', new Response('x')));
    await new Promise((go) => { indexedDB.open('a').onsuccess = go });
    await (await navigator.storage.getDirectory()).getFileHandle('a', {create: true});
    navigator.clipboard.writeText('secret').catch(() => {});
    const area = document.body.appendChild(document.createElement('textarea'));
    area.value = 'secret'; area.select(); document.execCommand('copy'); area.remove();
    history.pushState(1, '', '/visited');
    const kept = document.cookie && localStorage.a && (await caches.keys()).length &&
        (await indexedDB.databases()).length && history.length > FIRST;
    window.name = 'x';
    document.body.style.background = before ? 'red' : kept ? 'lime' : 'blue';
    document.body.id = 'done';
    })()</script>"""


def knows_nothing(world: World, pages_before: int = 0) -> None:
    """A later render finds what the first one found: nothing but the blank page before it.

    And the second entry for itself, by which a page cannot close its window (`page.STAY`).
    """
    for _ in range(4):
        page = KEEP.replace("FIRST", str(pages_before + 2))
        seen = world.render(page, hold=0, wait_for={"selector": "#done"}, timeout_ms=60_000)
        assert seen.status == 200, seen.body
        assert at(decode(seen.body), 190, 90) == (0, 255, 0, 255)


@in_either_mode
@pytest.mark.slow
def test_one_render_knows_nothing_of_another(either_world: World) -> None:
    """Cookies, storage of every kind, history and clipboard of a page end with it."""
    knows_nothing(either_world)
    assert (either_world.renewed() > 0) is either_world.shares_chromes


@in_either_mode
@pytest.mark.slow
def test_nothing_of_one_render_is_in_a_request_of_another(either_world: World) -> None:
    """Cookie, cache and service worker of a hostile server end with their Chrome or context."""
    page = (
        "<iframe src='https://hostile.test/typed?body=<script>navigator.serviceWorker.register("
        '"/typed?type=text/javascript%26body=onfetch=e=>e.respondWith(Response.error())")</script>'
        "&header=Set-Cookie=a=1;Max-Age=999;Secure;SameSite=None"
        "&header=Cache-Control=max-age=999'></iframe>"
    )
    asked = [
        [hit for hit in either_world.render(page).hits if "navigator.serviceWorker" in hit]
        for _ in range(4)
    ]
    assert [len(one) for one in asked] == [1] * 4  # neither out of a cache nor out of a worker


def test_nor_is_anything_in_full_chromium(full_either: World) -> None:
    """With its profile on disk, which is one of its own each time."""
    knows_nothing(full_either, pages_before=1)
