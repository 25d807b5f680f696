"""What a page is waited for: nothing is captured before it is there, and no wait has no end.

In headless-shell and full Chromium, with a Chrome for each render and with one for many. Each page
is red until what is waited for has come, and lime then.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.marks import some_in_quick
from tests.web.conftest import Service, StartService
from tests.web.leases import leased
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pictures import RED, at, decode

LIME = (0, 255, 0, 255)
TURN = "document.documentElement.style.background = 'lime'"
#: Red at first, in a document that has a body.
START = "<!doctype html><html style='background: red'><body>"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"

ServePages = Callable[..., contextlib.AbstractAsyncContextManager[str]]


service = service_in_modes(fetch_timeout_ms=60_000, allow_private="127.0.0.0/8")


@pytest.fixture
async def hanging(serve_pages: ServePages) -> AsyncIterator[str]:
    """A server that never answers at /never, and after a while at /slow."""
    closing = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await closing.wait()
        return web.Response()

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        headers = {"Access-Control-Allow-Origin": "*"}
        return web.Response(body=SVG, content_type="image/svg+xml", headers=headers)

    async with serve_pages(never=never, slow=slow) as address:
        yield address
        closing.set()


async def colour(service: Service, html: str, **options: Any) -> tuple[int, ...]:
    """The colour of a page of 50 x 50 near its corner."""
    body = await service.picture(html=START + html, width=50, height=50, **options)
    return at(decode(body), 45, 45)


def later(script: str, milliseconds: int = 400) -> str:
    """A page that does something, and turns lime, after a while."""
    return f"<script>setTimeout(() => {{ {script}; {TURN} }}, {milliseconds})</script>"


CONDITIONS = {
    "attached": ({"selector": "b", "state": "attached"}, "document.body.append(b)"),
    "visible": ({"selector": "b"}, "document.body.append(b); b.append('text')"),
    "shown": ({"selector": "i"}, "i.style.visibility = 'visible'"),
    "hidden": ({"selector": "u", "state": "hidden"}, "u.style.display = 'none'"),
    "removed": ({"selector": "u", "state": "hidden"}, "u.remove()"),
    "expression": ({"expression": "window.done // at last"}, "window.done = 'yes'"),
    "promise": ({"expression": "new Promise((then) => { window.go = then })"}, "window.go(1)"),
    "function": ({"expression": "() => window.done"}, "window.done = [0]"),
    "event of the window": ({"event": "ready"}, "dispatchEvent(new Event('ready'))"),
    "event of the document": (
        {"event": "app:ready"},
        "document.dispatchEvent(new CustomEvent('app:ready', {detail: 1}))",
    ),
    "property": ({"event": "posterReady"}, "window.posterReady = true"),
    "all": (
        {"selector": "i", "expression": "i.dataset.ready", "event": "ready"},
        "dispatchEvent(new Event('ready'));"
        "setTimeout(() => { i.style.visibility = 'visible'; i.dataset.ready = 1 }, 200)",
    ),
}
ELEMENTS = (
    "<i id=i style='visibility: hidden'>i</i><u id=u>u</u>"
    "<script>const b = document.createElement('b')</script>"
)


@pytest.mark.parametrize("name", some_in_quick(list(CONDITIONS), 3))
async def test_what_is_waited_for_is_there(service: Service, name: str) -> None:
    """Before the picture is taken."""
    awaited, script = CONDITIONS[name]
    assert await colour(service, ELEMENTS + later(script), wait_for=awaited) == LIME


async def test_without_a_wait_it_is_not(service: Service) -> None:
    """Or the pages of the test above would show nothing: all of them turn lime at one time."""
    _, script = CONDITIONS["attached"]
    assert await colour(service, ELEMENTS + later(script)) == RED


@in_both_chromes
async def test_an_event_that_came_early_counts(service: Service) -> None:
    """It is listened for from the page's start, before its first script, which may say it."""
    html = (
        "<script>addEventListener('ready', (one) => one.stopImmediatePropagation(), true);"
        f"dispatchEvent(new Event('ready')); {TURN}</script>"
    )
    assert await colour(service, html, wait_for={"event": "ready"}) == LIME


async def test_an_event_of_an_element_is_none_of_the_page(service: Service) -> None:
    """A picture's `load` is not that of the window."""
    picture = "<img src='data:image/svg+xml,<svg xmlns=\"http://www.w3.org/2000/svg\"/>'>"
    html = f"<script>setTimeout(() => {{ {TURN}; document.dispatchEvent(new Event('go')) }}, 400)"
    html = f"{html}</script>{picture.replace('<img', '<img onload=dispatch()')}"
    dispatch = "<script>function dispatch() { b.dispatchEvent(new Event('go', {bubbles: true})) }"
    html = f"<b id=b></b>{dispatch}</script>{html}"
    assert await colour(service, html, wait_for={"event": "go"}) == LIME


async def test_a_delay_comes_after_all_else(service: Service) -> None:
    """Frames go on meanwhile."""
    html = (
        "<script>setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => {"
        f"dispatchEvent(new Event('go')); setTimeout(() => {{ {TURN} }}, 300) }})), 300)</script>"
    )
    assert await colour(service, html, wait_for={"event": "go"}, delay_ms=700) == LIME
    assert await colour(service, html, wait_for={"event": "go"}) == RED


CHAIN = """<script>(async () => {
    for (let n = 0; n < 4; n++) await fetch('%s/slow?' + n);
    document.documentElement.style.background = 'lime';
})()</script>"""


@in_both_chromes
async def test_an_idle_network_is_waited_for(service: Service, hanging: str) -> None:
    """One request follows the other, each longer than what is between them."""
    html = CHAIN % hanging
    assert await colour(service, html, wait_until="networkidle0") == LIME
    assert await colour(service, html) == RED


async def test_two_requests_may_be_under_way(service: Service, hanging: str) -> None:
    """With `networkidle2`; with three the page is never idle."""
    pictures = "".join(f"<img src='{hanging}/never?{number}'>" for number in range(3))
    two = pictures.replace(f"<img src='{hanging}/never?2'>", "")
    html = f"<script>addEventListener('DOMContentLoaded', () => {{ {TURN} }})</script>"
    assert await colour(service, html + two, wait_until="networkidle2") == LIME
    for until, some in (("networkidle2", pictures), ("networkidle0", two), ("load", two)):
        answer = await service.render(html=START + some, wait_until=until, timeout_ms=2500)
        assert answer.status == 504


async def test_a_slow_host_does_not_hold_up_the_document(service: Service, hanging: str) -> None:
    """Neither by a picture, nor by a frame, nor by a font."""
    html = (
        f"<style>@font-face {{ font-family: x; src: url({hanging}/never?font) }} p {{ font-family:"
        f" x }}</style><p>text<img src='{hanging}/never'><iframe src='{hanging}/never?2'></iframe>"
        f"<script>addEventListener('DOMContentLoaded', () => {{ {TURN} }})</script>"
    )
    # In less time than the host may take.
    assert await colour(service, html, wait_until="domcontentloaded", timeout_ms=40_000) == LIME


@pytest.mark.parametrize("until", ["domcontentloaded", "networkidle0", "networkidle2"])
async def test_a_page_without_scripts_loads_as_ever(service: Service, until: str) -> None:
    """In its waiting navigation; `window.stop` and a navigation away end no wait."""
    assert await colour(service, "", wait_until=until) == RED
    for script in ("stop()", "location = 'https://elsewhere.invalid/'"):
        html = f"<script>{TURN}; {script}</script>"
        assert await colour(service, html, wait_until=until) == LIME


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("nobody.knows", "ReferenceError: nobody is not defined"),
        ("1 +", "SyntaxError"),
        ("Promise.reject(new TypeError('no'))", "TypeError: no"),
        ("() => { throw 'a\\r\\nb\\u202e' }", "a\\r\\nb\\u202e"),
        ("(() => { throw 'x'.repeat(1e6) })()", "xxxx…"),
        ("(() => { throw { toString() { throw 1 } } })()", "failed"),
        ("(() => { throw Object.create(null) })()", "failed"),
    ],
)
async def test_an_expression_that_throws_is_the_callers_fault(
    service: Service, expression: str, text: str
) -> None:
    """422 with its text, which is escaped and short."""
    answer = await service.render(html="<p>x", wait_for={"expression": expression})
    assert answer.status == 422
    problem = await answer.json()
    assert (problem["code"], problem["field"]) == ("wait_failed", "wait_for.expression")
    assert text in problem["detail"]
    assert len(problem["detail"]) < 400


@pytest.mark.parametrize(
    "selector", ["!", "a {}", "a, , b", "//div", "a }", "::nothing(", "text=x"]
)
async def test_a_selector_that_is_none_is_the_callers_fault(
    service: Service, selector: str
) -> None:
    """400, by Chrome's own parser, before the page is loaded."""
    for name, options in (
        ("wait_for.selector", {"wait_for": {"selector": selector}}),
        ("hide.1", {"hide": ["a", selector]}),
    ):
        answer = await service.render(html=START + later(""), **options)
        assert answer.status == 400
        assert [one["field"] for one in (await answer.json())["errors"]] == [name]


HOSTILE = """<script>
    const one = Promise;
    for (const name of ['Promise', 'setTimeout', 'Event', 'Array', 'JSON', 'CSSStyleSheet', 'Map'])
        window[name] = null;
    one.prototype.then = null;
    for (const kind of [Document, Element, DocumentFragment, EventTarget, Animation, Object])
        for (const name of Object.getOwnPropertyNames(kind.prototype))
            try { kind.prototype[name] = () => { throw 'mine' }; } catch {}
    String.prototype.slice = () => ({});
</script><b>text</b>"""


@pytest.mark.parametrize(
    "options",
    [
        {"wait_for": {"selector": "b"}},
        {"wait_for": {"selector": "b", "expression": "true"}},
        {"wait_for": {"expression": "throw 1"}},
        {"freeze": True, "hide": ["i"], "styles": [{"content": "i { color: red }"}]},
        {"scripts": [{"content": "undefined.x"}]},
        {"wait_until": "networkidle0", "delay_ms": 100},
    ],
    ids="-".join,
)
async def test_a_page_that_replaces_what_scripts_use_hangs_nothing(
    service: Service, options: dict[str, Any]
) -> None:
    """What is asked in the isolated world is true; the rest fails or ends in its time."""
    answer = await service.render(html=START + HOSTILE, timeout_ms=20_000, **options)
    expression = options.get("wait_for", {}).get("expression")
    assert answer.status == (422 if expression == "throw 1" else 200), await answer.text()


#: Pages that come to no end, and what else is asked for; the phase that the warning names.
ENDLESS: dict[str, tuple[str, dict[str, Any], str]] = {
    "picture": (f"<script>{TURN}</script><img src='%/never'>", {}, "load"),
    "style sheet": (
        f"<script>{TURN}</script><link rel=stylesheet href='%/never'><p>text",
        {},
        "load",
    ),
    "parser": (f"<script>{TURN}</script><script src='%/never'></script><p>text", {}, "load"),
    "head": (f"<script>{TURN}</script>", {"wait_until": "networkidle0"}, "load"),
    "selector": (f"<script>{TURN}</script>", {"wait_for": {"selector": "b"}}, "wait_for"),
    "expression": (
        f"<script>{TURN}</script>",
        {"wait_for": {"expression": "new Promise(() => {})"}},
        "wait_for",
    ),
    "event": (f"<script>{TURN}</script>", {"wait_for": {"event": "never"}}, "wait_for"),
    "script": (
        "",
        {"scripts": [{"content": f"{TURN}; new Promise(() => {{}})"}]},
        "scripts",
    ),
    "script's address": (f"<script>{TURN}</script>", {"scripts": [{"url": "%/never"}]}, "scripts"),
    "delay": (f"<script>{TURN}</script>", {"delay_ms": 5900}, "delay"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS)
async def test_what_is_there_is_captured_when_the_time_is_nearly_up(
    service: Service, hanging: str, name: str
) -> None:
    """With a warning; without the option it is an error."""
    html, options, reason = ENDLESS[name]
    if name == "head":
        html += "<script>setInterval(() => fetch('%/slow?' + Math.random()), 100)</script>"
    if name == "script's address":
        options = {"scripts": [{"url": f"{hanging}/never"}]}
    given_ = {"html": START + html.replace("%", hanging), "width": 50, "height": 50, **options}
    answer = await service.render(**given_, timeout_ms=6000, on_timeout="capture")
    assert answer.status == 200, await answer.text()
    assert at(decode(await answer.read()), 45, 45) == LIME
    warnings = answer.headers["X-Render-Warnings"]
    assert f"timeout;reason={reason}" in warnings
    if "%/never" in html:
        assert f'failed;url="{hanging}/never";reason=timeout' in warnings
    if name in ("picture", "selector"):
        assert (await service.render(**given_, timeout_ms=2000)).status == 504


async def test_a_script_without_an_end_leaves_nothing_to_capture(service: Service) -> None:
    """Chrome cannot paint meanwhile, so it stays an error."""
    html = START + "<p>text<script>for (;;) {}</script>"
    answer = await service.render(html=html, timeout_ms=2000, on_timeout="capture")
    assert answer.status == 504
    assert await service.at_rest()


async def test_a_document_that_does_not_come_leaves_nothing_to_capture(
    service: Service, hanging: str
) -> None:
    """There is no page yet, so it is an error."""
    answer = await service.render(url=f"{hanging}/never", timeout_ms=2000, on_timeout="capture")
    assert answer.status == 504
    assert await service.at_rest()


async def test_with_time_enough_there_is_no_warning(service: Service) -> None:
    """The option alone changes nothing."""
    answer = await service.render(html=START + later("window.done = 1"),
                                  wait_for={"expression": "done"} | {"expression": "window.done"},
                                  on_timeout="capture")  # fmt: skip
    assert answer.status == 200
    assert "X-Render-Warnings" not in answer.headers


async def test_strict_fails_for_what_had_not_come(service: Service, hanging: str) -> None:
    """A picture that was under way when the page was given up is a subresource that failed."""
    html = f"{START}<img src='{hanging}/never'>"
    options = {"timeout_ms": 6000, "on_timeout": "capture", "strict": True}
    answer = await service.render(html=html, **options)
    assert answer.status == 502
    assert f"{hanging}/never" in (await answer.json())["detail"]


@pytest.mark.slow
@pytest.mark.parametrize("ttl", [pytest.param(None, marks=pytest.mark.endurance), 60])
async def test_a_page_that_was_given_up_is_not_cached(
    start_service: StartService, ttl: int | None
) -> None:
    """One that was not is; and each caller has its own time."""
    service = await start_service(cache_bytes=1 << 20)
    options: dict[str, Any] = {"on_timeout": "capture", "cache_ttl": ttl, "html": START + "<p>x"}

    async def statuses(**more: Any) -> list[str]:
        answers = [await service.render(**options, **more) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        return [answer.headers["X-Cache"] for answer in answers]

    never = {"wait_for": {"selector": "b"}}
    assert await statuses(timeout_ms=6000, **never) == ["bypass", "bypass"]
    assert await statuses(wait_for={"selector": "p"}) == ["miss", "hit"]
    short, long = await asyncio.gather(
        service.render(**options, timeout_ms=6000, **never),
        service.render(**options, timeout_ms=9000, **never),
    )
    assert (short.status, long.status) == (200, 200)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay_ms": 5000, "timeout_ms": 5000}, "5000 is not less than the time"),
        ({"delay_ms": 60_000}, "60000 is not less than the time"),
        ({"delay_ms": 60_001}, "60001 is more than this service allows"),
        ({"delay_ms": -1}, "-1 is out of range"),
    ],
)
async def test_a_delay_that_leaves_no_time_is_refused(
    service: Service, options: dict[str, Any], message: str
) -> None:
    """400, before a Chrome is leased."""
    answer = await service.render(html="<p>x", **options)
    assert answer.status == 400
    assert (await answer.json())["field"] == "delay_ms"
    assert message in (await answer.json())["detail"]


#: A request for each step that may take long, hung up on in the middle of it.
PHASES: dict[str, dict[str, Any]] = {
    "sheets": {"styles": [{"url": "%/never"}]},
    "load": {"wait_until": "networkidle0", "html": f"{START}<img src='%/never'>"},
    "script": {"scripts": [{"content": "new Promise(() => {})"}]},
    "script's address": {"scripts": [{"url": "%/never"}]},
    "selector": {"wait_for": {"selector": "b"}},
    "expression": {"wait_for": {"expression": "new Promise(() => {})"}},
    "event": {"wait_for": {"event": "never"}},
    "delay": {"delay_ms": 50_000},
    "given up": {"wait_for": {"selector": "b"}, "on_timeout": "capture"},
}


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
async def test_hanging_up_in_every_wait_leaves_nothing(
    service: Service, hanging: str, phase: str
) -> None:
    """The Chrome is free at once, and the next render is right."""

    def at_host(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: at_host(one) for name, one in value.items()}
        if isinstance(value, list):
            return [at_host(one) for one in value]
        return value.replace("%", hanging) if isinstance(value, str) else value

    assert await service.at_rest()
    options = {"html": START, **at_host(PHASES[phase])}
    render = asyncio.create_task(service.render(**options))
    await leased(service)
    await asyncio.sleep(0.5)  # any moment of the wait will do
    assert not render.done()
    render.cancel()
    assert await service.at_rest()


SELECTORS = st.sampled_from(["p", "*", "b, i, svg", "p:first-child", "::before", "a {"])
SCRIPTS = st.sampled_from(["1", "x.y", "stop()", "document.body.remove()", "new Promise(() => {})"])
COMBINATIONS = st.fixed_dictionaries(
    {
        "html": st.sampled_from([
            START + "<p>text",
            START + "<p>text<script>setInterval(() => document.body.append('x'), 20)</script>",
            START + HOSTILE,
            START + "<script>document.open(); document.write('<p>y'); document.close()</script>",
            "<frameset><frame src='data:text/html,x'></frameset>",
            "<svg><animate attributeName=x dur=1s repeatCount=indefinite /></svg>",
        ]),
        "timeout_ms": st.sampled_from([900, 2500]),
    },
    optional={
        "wait_until": st.sampled_from(["load", "domcontentloaded", "networkidle0", "networkidle2"]),
        "wait_for": st.fixed_dictionaries(
            {"selector": SELECTORS},
            optional={
                "state": st.sampled_from(["attached", "visible", "hidden"]),
                "expression": SCRIPTS,
                "event": st.sampled_from(["load", "never"]),
            },
        ),
        "delay_ms": st.integers(0, 400),
        "on_timeout": st.sampled_from(["error", "capture"]),
        "styles": st.lists(
            st.fixed_dictionaries({"content": st.sampled_from(["p { color: red", "}"])}),
            max_size=2,
        ),
        "scripts": st.lists(st.fixed_dictionaries({"content": SCRIPTS}), max_size=2),
        "hide": st.lists(SELECTORS, max_size=2),
        "freeze": st.booleans(),
        "javascript": st.booleans(),
        "full_page": st.booleans(),
        "format": st.sampled_from(["png", "jpeg", "pdf"]),
        "strict": st.booleans(),
    },
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(options=COMBINATIONS)
async def test_any_combination_is_answered_and_leaves_nothing(
    service: Service, options: dict[str, Any]
) -> None:
    """With a picture, the caller's error, or that of a page whose time is up; never with a 500."""
    answer = await service.render(width=50, height=50, **options)
    assert answer.status in (200, 400, 422, 502, 504), await answer.text()
    assert await service.at_rest()


async def test_a_wait_has_a_time_of_its_own(service: Service) -> None:
    """Past it the render fails, or goes on with what comes after the wait, with a warning."""
    wait = {"wait_for": {"selector": "#none", "timeout_ms": 200}}
    answer = await service.render(html=START, width=50, height=50, **wait)
    problem = await answer.json()
    assert (answer.status, problem["code"]) == (504, "render_timeout")
    assert "200 ms" in problem["detail"]
    late = f"<script>setTimeout(() => {{ {TURN} }}, 500)</script>"
    options = {"html": START + late, **wait, "on_timeout": "capture", "delay_ms": 800}
    answer = await service.render(width=50, height=50, **options)
    assert answer.status == 200, await answer.text()
    assert at(decode(await answer.read()), 45, 45) == LIME
    assert answer.headers["X-Render-Warnings"] == "timeout;reason=wait_for"
    in_time = {"wait_for": {"expression": "true", "timeout_ms": 20_000}}
    assert await colour(service, f"<script>{TURN}</script>", **in_time) == LIME


async def test_no_wait_is_longer_than_a_render_may_be(service: Service) -> None:
    """As of `timeout_ms`."""
    answer = await service.render(html="x", wait_for={"event": "a", "timeout_ms": 999_999_999})
    assert (answer.status, (await answer.json())["field"]) == (400, "wait_for.timeout_ms")
