"""browserless' /pdf, /content and /scrape: every property with what it does, and its default."""

import io
import json
from typing import Any

import pytest
from pypdf import PdfReader

from tests.web.compat.browserless import LATER, TURN, server, service
from tests.web.compat.posting import post_json
from tests.web.local_web import LocalServer
from tests.web.pdf_files import picture, place, sizes, texts, titles
from tests.web.service import Service

__all__ = ["server", "service"]


# --- what a page says ---------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/chromium", "/chrome"])
async def test_the_content_is_the_document_after_its_scripts(
    service: Service, server: LocalServer, prefix: str
) -> None:
    """As HTML of which a browser runs no script; with what was waited for, and the status."""
    page = server.page("/page", "<p id=a>x</p>" + LATER % (TURN + "a.textContent = 'ä';"))
    wait = {"waitForSelector": {"selector": "#done"}}
    answer = await post_json(service, f"{prefix}/content", url=page, **wait)
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!DOCTYPE html><html>")
    assert '<p id="a">ä</p>' in answer.text
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-response-code"] == "200"
    answer = await post_json(service, f"{prefix}/content", html="<p>x", options={})
    assert (answer.status, '"options" is not allowed' in answer.text) == (400, True)


SCRAPED = "<ul><li class='one two'>a <b>b</b></li><li>c</li></ul>"


async def test_elements_are_scraped(service: Service) -> None:
    """Text, HTML, attributes and place of each; in the order of the page."""
    html = f"<style>body {{ margin: 10px }} li {{ height: 30px; width: 100px }}</style>{SCRAPED}"
    elements = [{"selector": "li"}, {"selector": "ul", "timeout": 5_000}]
    answer = await post_json(service, "/scrape", html=html, elements=elements)
    assert (answer.status, answer.content_type) == (200, "application/json"), answer.text
    found = json.loads(answer.body)
    assert found["debug"] is None
    assert [one["selector"] for one in found["data"]] == ["li", "ul"]
    first = found["data"][0]["results"][0]
    assert (first["text"], first["html"]) == ("a b", "a <b>b</b>")
    assert first["attributes"] == [{"name": "class", "value": "one two"}]
    assert (first["width"], first["height"], len(found["data"][0]["results"])) == (100, 30, 2)
    assert found["data"][0]["results"][1]["top"] - first["top"] == 30
    assert first["left"] > 10


async def test_elements_are_waited_for(service: Service) -> None:
    """All of them, with what else is waited for; in vain it is 408, or nothing at best."""
    html = LATER % "document.body.innerHTML = '<i>x</i>'; window.done = 1"
    elements = [{"selector": "i", "timeout": 9_000}]
    function = {"waitForFunction": {"fn": "() => window.done"}}
    for more in ({}, function):
        answer = await post_json(service, "/scrape", html=html, elements=elements, **more)
        assert len(json.loads(answer.body)["data"][0]["results"]) == 1
    missing = {"html": "<p>x", "elements": [{"selector": "i", "timeout": 100}]}
    limits = {"gotoOptions": {"timeout": 500}}
    assert (await post_json(service, "/scrape", **missing, **limits)).status == 408
    answer = await post_json(service, "/scrape", **missing, **limits, bestAttempt=True)
    assert json.loads(answer.body)["data"] == [{"selector": "i", "results": []}]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, '"elements"'),
        ({"elements": []}, '"elements"'),
        ({"elements": [{"selector": "a["}]}, '"elements.0.selector" is not a CSS selector'),
        ({"elements": [{"name": "a"}]}, '"elements.0.name" is not allowed'),
        ({"elements": [{"selector": "a"}], "debugOpts": {"console": True}},
         '"debugOpts.console" is not supported'),
        ({"elements": [{"selector": "a"}], "scrollPage": True}, '"scrollPage" is not allowed'),
    ],
)  # fmt: skip
async def test_a_bad_scrape_is_refused(service: Service, body: dict[str, Any], text: str) -> None:
    """With the property."""
    answer = await post_json(service, "/scrape", html="x", **body)
    assert (answer.status, answer.content_type) == (400, "text/plain")
    assert text in answer.text


# --- PDFs ---------------------------------------------------------------------------------------


A4, LETTER = (595, 842), (612, 792)


@pytest.mark.parametrize(
    ("options", "size", "sheets"),
    [
        ({}, LETTER, 3),
        ({"format": "A4"}, A4, 3),
        ({"format": "a4", "width": "1in"}, A4, 3),
        ({"width": 400, "height": "6in"}, (300, 432), 3),
        ({"width": "100mm"}, (283, 792), 3),
        ({"pageRanges": "1, 3"}, LETTER, 2),
        ({"preferCSSPageSize": True}, (420, 595), 3),
        ({"scale": 0.5, "printBackground": True, "waitForFonts": True, "timeout": 5_000}, LETTER,
         3),
    ],
)  # fmt: skip
async def test_the_sheets_of_a_pdf(
    service: Service, options: dict[str, Any], size: tuple[int, int], sheets: int
) -> None:
    """Letter by default, against the page's own size; by name, or by sides with units."""
    html = (
        "<style>@page { size: A5 } p { break-after: page } p:last-child { break-after: auto }"
        "</style><p>a</p><p>b</p><p>c</p>"
    )
    answer = await post_json(service, "/pdf", html=html, options=options)
    assert (answer.status, answer.content_type) == (200, "application/pdf"), answer.text
    found = sizes(answer.body)
    assert found == [pytest.approx(size, abs=1)] * sheets


async def printed(service: Service, html: str, **options: Any) -> bytes:
    """A PDF that succeeds."""
    answer = await post_json(service, "/pdf", html=html, options=options)
    assert answer.status == 200, answer.text
    return answer.body


async def test_what_is_on_a_sheet(service: Service) -> None:
    """Margins, backgrounds, scale and media; by puppeteer's defaults without any, for print."""
    html = (
        "<style>body { margin: 0; background: #00f } @media screen { h1 { display: none } }"
        " h1 { color: #f00; margin: 0 }</style><h1>Word</h1>"
    )
    plain = await printed(service, html)
    assert texts(plain) == ["Word"]
    assert picture(plain).getpixel((400, 500)) == (255, 255, 255)
    assert picture(await printed(service, html, printBackground=True)).getpixel((400, 500)) == (
        0, 0, 255,
    )  # fmt: skip
    moved = await printed(service, html, margin={"top": "1in", "left": 96, "right": "0px"})
    assert place(moved, "Word").left - place(plain, "Word").left == pytest.approx(96, abs=1)
    assert place(moved, "Word").top - place(plain, "Word").top == pytest.approx(96, abs=1)
    small = await printed(service, html, scale=0.5)
    ratio = place(small, "Word").bottom / place(plain, "Word").bottom
    assert ratio == pytest.approx(0.5, abs=0.05)


async def test_sheets_lie(service: Service) -> None:
    """Turned by landscape, in any size."""
    legal = await printed(service, "<p>x", format="LEGAL", landscape=True)
    assert sizes(legal) == [pytest.approx((1008, 612), abs=1)]


async def test_header_and_footer(service: Service) -> None:
    """Those that are given where they are wanted, else date and title, address and page."""
    margin = {"top": "1in", "bottom": "1in"}
    given = {"headerTemplate": "<b>Top</b>", "footerTemplate": "<i class=pageNumber></i> End"}
    html = "<title>Name</title><p>x"
    body = await printed(service, html, displayHeaderFooter=True, margin=margin, **given)
    assert {"Top", "End"} <= set(texts(body)[0].split())
    assert "Top" not in texts(await printed(service, html, margin=margin, **given))[0]
    body = await printed(service, html, displayHeaderFooter=True, margin=margin)
    assert "Name" in texts(body)[0]
    assert "1/1" in texts(body)[0]


async def test_tags_and_outline(service: Service) -> None:
    """Tagged unless that is off; an outline where it is wanted, which needs the tags."""
    html = "<title>t</title><h1>One</h1><h2>Two</h2>"
    readers = {
        name: PdfReader(io.BytesIO(await printed(service, html, **options)))
        for name, options in (
            ("plain", {}), ("bare", {"tagged": False}), ("outline", {"outline": True}),
        )
    }  # fmt: skip
    assert "/StructTreeRoot" in readers["plain"].root_object
    assert "/StructTreeRoot" not in readers["bare"].root_object
    assert titles(readers["plain"]) == []
    assert titles(readers["outline"]) == ["One", "Two"]


async def test_a_full_page_is_one_sheet(service: Service) -> None:
    """As wide as a letter, or as the viewport that is given, and as high as the page."""
    html = "<body style='margin:0'><div style='height:3000px'>x</div>"
    assert sizes(await printed(service, html, fullPage=True)) == [pytest.approx((612, 2250), abs=2)]
    answer = await post_json(
        service, "/pdf", html=html, options={"fullPage": True}, viewport={"width": 400, "height": 9}
    )
    assert round(sizes(answer.body)[0][0]) == 300


async def test_a_pdf_may_have_no_background(service: Service) -> None:
    """Without it nothing white is painted."""
    white, clear = [
        await printed(service, "<p>x", omitBackground=omit, printBackground=True)
        for omit in (False, True)
    ]
    assert len(clear) <= len(white)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"path": "/x.pdf"}, '"options.path" is not allowed'),
        ({"format": "A9"}, '"options.format"'),
        ({"width": "wide"}, '"options.width" "wide" is not a length'),
        ({"margin": {"top": -1}}, '"options.margin.top" -1 is out of range'),
        ({"margin": {"up": 1}}, '"options.margin.up" is not allowed'),
        ({"margin": {"left": "5in", "right": "5in"}}, '"options.margin" leaves no room'),
        ({"scale": 3}, '"options.scale"'),
        ({"pageRanges": "3-1"}, '"options.pageRanges"'),
        ({"fullPage": True, "format": "A4"}, '"fullPage" option cannot be used with "height"'),
        ({"fullPage": True, "landscape": True}, '"options.landscape" cannot be used'),
        ({"type": "png"}, '"options.type" is not allowed'),
    ],
)
async def test_bad_options_of_a_pdf_are_refused(
    service: Service, options: dict[str, Any], text: str
) -> None:
    """With the property by its own name."""
    answer = await post_json(service, "/pdf", html="<p>x", options=options)
    assert (answer.status, answer.content_type) == (400, "text/plain"), answer.text
    assert text in answer.text


async def test_pages_that_there_are_not_are_refused(service: Service) -> None:
    """400, since the caller has to change it."""
    answer = await post_json(service, "/pdf", html="<p>x", options={"pageRanges": "9"})
    assert (answer.status, answer.content_type) == (400, "text/plain")
