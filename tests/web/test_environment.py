"""What a page can tell of its reader and device: each is there before its first script or style.

In headless-shell and full Chromium, with a Chrome for each render and with one for many, where
nothing of one render may be found by the next.
"""

import contextlib
import io
from typing import Any

import pypdfium2
import pytest
from aiohttp import web

from poster_service.render.device_options import MEDIA_FEATURES
from tests.web.conftest import Service
from tests.web.modes import in_both_chromes, service_in_modes
from tests.web.pictures import BLUE, CLEAR, RED, at, decode

LIME = (0, 255, 0, 255)


service = service_in_modes(allow_private="127.0.0.0/8")


async def colour(service: Service, html: str, **options: Any) -> tuple[int, ...]:
    """The colour of a page of 50 x 50 near its corner."""
    given = {"width": 50, "height": 50, **options}
    return at(decode(await service.picture(html=f"<!doctype html>{html}", **given)), 5, 5)


async def holds(service: Service, expression: str, **options: Any) -> bool:
    """Whether an expression is true in the first script of a page; without the options it is not.

    Asked without them afterwards, so that an option that outlives its render is noticed.
    """
    style = "document.documentElement.style"
    html = f"<script>{style}.background = ({expression}) ? 'lime' : 'red'</script>"
    found = await colour(service, html, **options)
    plain = await colour(service, html)
    assert found in (LIME, RED)
    assert plain == RED
    return found == LIME


@pytest.mark.parametrize(
    ("options", "expression"),
    [
        ({"touch": True}, "'ontouchstart' in window && matchMedia('(pointer: coarse)').matches"),
        ({"media": "print"}, "matchMedia('print').matches && !matchMedia('screen').matches"),
        ({"timezone": "Asia/Tokyo"}, "new Date(0).getHours() === 9"),
        ({"timezone": "America/St_Johns"}, "new Date(0).getTimezoneOffset() === 210"),
        ({"locale": "de-DE"}, "(1234.5).toLocaleString() === '1.234,5'"),
        (
            {"locale": "de-DE"},
            "navigator.language === 'de-DE' && navigator.languages[0] === 'de-DE'",
        ),
        ({"user_agent": "Reader/1.0 (x)"}, "navigator.userAgent === 'Reader/1.0 (x)'"),
        (
            {"user_agent": "Reader/2", "locale": "fr"},
            "navigator.userAgent === 'Reader/2' && navigator.language === 'fr'",
        ),
        (
            {"mobile": True, "width": 800, "height": 400},
            "screen.orientation.type === 'landscape-primary'",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
async def test_the_first_script_of_a_page_sees_it(
    service: Service, options: dict[str, Any], expression: str
) -> None:
    """And the next page does not."""
    assert await holds(service, expression, **options)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(max(map(len, MEDIA_FEATURES.values()))))
async def test_every_media_feature_has_each_of_its_values(service: Service, place: int) -> None:
    """All at once, in a style sheet of a page in which nothing runs."""
    features = {name: values[place % len(values)] for name, values in MEDIA_FEATURES.items()}
    query = " and ".join(f"({name}: {value})" for name, value in features.items())
    html = f"<style>@media {query} {{ html {{ background: lime; forced-color-adjust: none }} }}"
    assert await colour(service, html, media_features=features) == LIME


async def test_media_and_features_are_set_together(service: Service) -> None:
    """As CDP wants it: a second command would end what the first one set."""
    html = "<style>@media print and (prefers-color-scheme: dark) { html { background: lime } }"
    dark = {"prefers-color-scheme": "dark"}
    assert await colour(service, html, media="print", media_features=dark) == LIME
    assert await colour(service, html, media="print") == CLEAR
    assert await colour(service, html, media_features=dark) == CLEAR


@pytest.mark.parametrize("full_page", [False, True])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (0, 0, 255)),
        ({"media": "screen"}, (255, 0, 0)),
        ({"media_features": {"prefers-color-scheme": "dark"}}, (0, 255, 0)),
    ],
    ids=["print", "screen", "dark"],
)
async def test_a_pdf_has_the_media_asked_for(
    service: Service, options: dict[str, Any], expected: tuple[int, ...], *, full_page: bool
) -> None:
    """`print` by itself, cut into sheets or as one; features stay beside it."""
    html = (
        "<!doctype html><style>html { background: red } @media print { html { background: blue } }"
        "@media print and (prefers-color-scheme: dark) { html { background: lime } }</style>"
    )
    body = await service.picture(
        html=html, width=100, height=100, format="pdf", full_page=full_page, **options
    )
    with contextlib.closing(pypdfium2.PdfDocument(io.BytesIO(body))) as document:
        assert len(document) == 1
        assert document[0].render().to_pil().getpixel((50, 50)) == expected


NOSCRIPT = """<style>body { margin: 0 } div { height: 50px; background: lime }</style>
<noscript><div></div></noscript><script>document.body.style.background = 'red'</script>
<img hidden src="data:image/png,broken" onerror="document.body.style.background = 'red'">"""


@in_both_chromes
@pytest.mark.parametrize("full_page", [False, True])
async def test_without_javascript_no_script_of_the_page_runs(
    service: Service, *, full_page: bool
) -> None:
    """`<noscript>` shows; fonts and pictures are awaited all the same; what is lost is known."""
    answer = await service.render(
        html="<!doctype html>" + NOSCRIPT,
        javascript=False,
        width=50,
        height=50,
        full_page=full_page,
    )
    assert answer.status == 200
    assert at(decode(await answer.read()), 5, 5) == LIME
    assert "failed;url=" in answer.headers["X-Render-Warnings"]
    assert await colour(service, NOSCRIPT) == RED


@pytest.mark.parametrize("scale", [1, 2])
async def test_a_phone_lays_a_page_out_as_wide_as_it_says(service: Service, scale: int) -> None:
    """As wide as `<meta name=viewport>` says; without it 980 CSS pixels, shown smaller."""
    style = "<style>body { margin: 0 } div { width: 490px; height: 40px; background: blue }</style>"
    phone = {"width": 390, "height": 844, "device_scale_factor": scale}
    phones = f"<!doctype html><meta name=viewport content='width=device-width'>{style}<div></div>"

    async def width(html: str, **options: Any) -> int:
        picture = decode(await service.picture(html=html, **phone, **options))
        assert picture.size == (390 * scale, 844 * scale)
        row = [at(picture, x, 2 * scale) for x in range(picture.width)]
        return row.count(BLUE) // scale

    assert await width(phones, mobile=True) == 390
    assert await width("<!doctype html>" + style + "<div></div>", mobile=True) in (194, 195)
    assert await width(phones) == 390
    assert await width("<!doctype html>" + style + "<div></div>") == 390


async def test_what_a_page_fetches_is_asked_for_in_its_name(service: Service) -> None:
    """Accept-Language and User-Agent agree with what scripts see, and stay without options."""
    seen: list[tuple[str | None, str | None]] = []

    async def style(request: web.Request) -> web.Response:
        seen.append((request.headers.get("Accept-Language"), request.headers.get("User-Agent")))
        return web.Response(text="p { color: red }", content_type="text/css")

    app = web.Application()
    app.router.add_get("/style.css", style)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        html = f"<link rel=stylesheet href='http://{host}:{port}/style.css'><p>text"
        await service.picture(html=html, locale="de-DE", user_agent="Reader/1.0")
        await service.picture(html=html)
    finally:
        await runner.cleanup()
    (first, plain) = seen
    assert first == ("de-DE", "Reader/1.0")
    assert plain[0] is None
    assert plain[1] is not None
    assert "Chrome/" in plain[1]


@pytest.mark.parametrize(
    ("options", "field", "message"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone", "Mars/Olympus"),
        ({"timezone": "../etc"}, "timezone", "../etc"),
        ({"locale": "de_DE"}, "locale", "de_DE"),
        ({"locale": "en-x-" + "a" * 40}, "locale", "too long"),
        ({"media": "tv"}, "media", "tv"),
        ({"media_features": {"hover": "none"}}, "media_features", "hover"),
        ({"media_features": {"{x}": "none"}}, "media_features", "{x}"),
        ({"media_features": {"forced-colors": "dark"}}, "media_features", "dark"),
        ({"media_features": {"forced-colors": 1}}, "media_features.forced-colors", "1"),
        ({"user_agent": "a\r\nb"}, "user_agent", "\\r\\n"),
        ({"user_agent": "é"}, "user_agent", "é"),
        ({"user_agent": ""}, "user_agent", ""),
        ({"mobile": 1}, "mobile", "1"),
        ({"javascript": None}, "javascript", "null"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
async def test_what_cannot_be_is_the_callers_fault(
    service: Service, options: dict[str, Any], field: str, message: str
) -> None:
    """400, with the field; Chrome would ignore some of these without a word."""
    answer = await service.render(html="<p>x", **options)
    assert answer.status == 400
    problem = await answer.json()
    assert problem["code"] == "invalid_field"
    assert problem["field"] == field
    assert message in problem["detail"]


@in_both_chromes
async def test_a_failed_time_zone_leaves_the_service_as_it_was(service: Service) -> None:
    """Its Chrome is given back, and the next render is right."""
    for _ in range(3):
        assert (await service.render(html="<p>x", timezone="No/Zone")).status == 400
    assert await colour(service, "<style>html { background: blue }</style>") == BLUE
