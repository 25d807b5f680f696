"""What a page says: the formats `html` and `elements`, alone and beside pictures of one load."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poster_service.browser.contents import (
    MAX_DOCUMENT_BYTES,
    MAX_ELEMENTS,
    MAX_ELEMENTS_BYTES,
    SLICE,
)
from tests.marks import some_in_quick
from tests.web import caching
from tests.web.conftest import Service
from tests.web.pictures import decode
from tests.web.service import running_in_own_folder


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """A service with a cache."""
    async with running_in_own_folder(cache_bytes=64 << 20, timeout_ms=60_000) as found:
        yield found


#: Replaces all that reads a document, as the page's own scripts see it.
FORGED = """<script>
const forged = {get: () => 'forged', configurable: true};
for (const name of ['outerHTML', 'innerHTML', 'attributes', 'localName'])
    Object.defineProperty(Element.prototype, name, forged);
Object.defineProperty(HTMLElement.prototype, 'innerText', forged);
Object.defineProperty(Node.prototype, 'textContent', forged);
Object.defineProperty(Node.prototype, 'childNodes', {get: () => []});
Element.prototype.getBoundingClientRect = () => ({x: 666, y: 666, width: 666, height: 666});
Element.prototype.getAttribute = () => 'forged';
Element.prototype.getAttributeNames = () => ['forged'];
Document.prototype.querySelectorAll = () => [];
XMLSerializer.prototype.serializeToString = JSON.stringify = () => 'forged';
String.prototype.slice = () => 'forged';
Array.prototype.join = String.prototype.toWellFormed = Array.prototype.map = () => 'forged';
globalThis.contents = 'forged';
Object.defineProperty(globalThis, 'contents', {get: () => 'forged', set() {}});
</script>"""


async def document(service: Service, html: str, **options: Any) -> str:
    """The document of a page."""
    return (await service.picture(html=html, format="html", **options)).decode()


async def elements(service: Service, html: str, *selectors: str, **options: Any) -> list[Any]:
    """What selectors match in a page."""
    body = await service.picture(html=html, format="elements", elements=selectors, **options)
    found: list[Any] = json.loads(body)["selectors"]
    assert [one["selector"] for one in found] == list(selectors)
    return found


async def test_a_document_is_as_a_picture_would_be_taken_of_it(service: Service) -> None:
    """With its DOCTYPE and its comments, what scripts have done, and what was waited for."""
    page = """<!DOCTYPE html><!--before--><title>ü</title><p id=p>old</p>
        <template><i>t</i></template>
        <script>setTimeout(() => { p.textContent = 'new \\u{1F600}'; p.dataset.done = 1 }, 100)
        </script>"""
    found = await document(service, page, wait_for={"selector": "[data-done]"})
    assert found.startswith("<!DOCTYPE html><!--before--><html><head><title>ü</title>")
    assert '<p id="p" data-done="1">new \U0001f600</p>' in found
    assert "<template><i>t</i></template>" in found
    assert found.rstrip().endswith("</body></html>")


async def test_a_document_has_the_doctype_that_the_page_has(service: Service) -> None:
    """None where there is none; a page that removed its root is empty, as its picture is."""
    assert (await document(service, "<p>x")) == "<html><head></head><body><p>x</p></body></html>"
    page = (
        "<!DOCTYPE html PUBLIC '-//W3C//DTD HTML 4.01//EN' 'http://www.w3.org/TR/html4/strict.dtd'>"
    )
    assert (await document(service, page)).startswith(page.replace("'", '"'))
    removed = "<p>x<script>document.documentElement.remove()</script>"
    assert "<p>" not in await document(service, removed)


async def test_the_answer_has_a_charset_and_runs_no_script_in_a_browser(service: Service) -> None:
    """It is a page of another author, at an address of this service."""
    answer = await service.render(html="<p>ü", format="html")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert "<p>ü</p>" in await answer.text()


async def test_an_element_has_its_text_its_html_its_attributes_and_its_place(
    service: Service,
) -> None:
    """Where the page is scrolled to does not matter; places are those of a clip."""
    page = """<!DOCTYPE html><style>body { margin: 0; height: 3000px }
        p { position: absolute; left: 40px; top: 2000px; width: 50px; height: 20px; margin: 0 }
        u { text-transform: uppercase }</style>
        <p id=a class='x y' data-n="&quot;1">one <u>two</u><span hidden>three</span></p>
        <svg class=s width=10 height=10><title>t</title></svg>
        <script>scrollTo(0, 900)</script>"""
    paragraph, svg, none = await elements(service, page, "p", "svg", "#none > b")
    assert paragraph["count"] == 1
    assert paragraph["elements"] == [
        {
            "name": "p", "text": "one TWO", "html": "one <u>two</u><span hidden=\"\">three</span>",
            "attributes": {"id": "a", "class": "x y", "data-n": '"1'},
            "x": 40, "y": 2000, "width": 50, "height": 20,
        }
    ]  # fmt: skip
    (found,) = svg["elements"]
    assert (found["name"], found["text"], found["width"]) == ("svg", "t", 10)
    assert none == {"selector": "#none > b", "count": 0, "elements": []}


async def test_the_place_of_an_element_is_the_clip_that_shows_it(service: Service) -> None:
    """Also where text runs to the left and the page's own numbers are negative."""
    page = """<!DOCTYPE html><html dir=rtl><style>body { margin: 0; width: 2000px }
        i { position: absolute; left: -300px; top: 30px; width: 40px; height: 20px;
        background: lime }</style><i></i>"""
    ((found,),) = [one["elements"] for one in await elements(service, page, "i")]
    clip = {name: found[name] for name in ("x", "y", "width", "height")}
    picture = decode(await service.picture(html=page, clip=clip))
    assert picture.size == (40, 20)
    assert picture.getcolors() == [(800, (0, 255, 0, 255))]


async def test_a_page_cannot_forge_what_is_read_of_it(service: Service) -> None:
    """Neither by replacing functions nor by the names of its elements."""
    named = "".join(f"<img name={name}>" for name in (
        "documentElement", "childNodes", "querySelectorAll", "contents", "scrollX", "doctype",
    ))  # fmt: skip
    form = "<form id=f><input name=outerHTML><input name=innerHTML><input name=attributes></form>"
    page = f"<!DOCTYPE html>{FORGED}{named}{form}<p class=real>true"
    found = await document(service, page)
    assert found.startswith("<!DOCTYPE html><html><head><script>")
    assert '<p class="real">true</p>' in found
    paragraph, made = await elements(service, page, "p", "form")
    (one,) = paragraph["elements"]
    assert (one["name"], one["text"], one["attributes"]) == ("p", "true", {"class": "real"})
    assert one["width"] != 666
    assert made["elements"][0]["html"].startswith('<input name="outerHTML">')


async def test_a_page_without_scripts_is_read_too(service: Service) -> None:
    """Ours run in any case."""
    page = "<body><noscript><p>off</p></noscript><script>document.title = 'on'</script>"
    assert "<noscript><p>off</p></noscript>" in await document(service, page, javascript=False)
    (found,) = await elements(service, page, "noscript p", javascript=False)
    assert found["elements"][0]["text"] == "off"


async def test_shadow_trees_and_frames_are_not_read(service: Service) -> None:
    """As of `outerHTML`; nor is what is typed into a field."""
    page = """<div id=host></div><iframe srcdoc='<p>inside'></iframe><input id=i value=first>
        <script>host.attachShadow({mode: 'open'}).innerHTML = '<b>shadow</b>';
        i.value = 'typed'</script>"""
    found = (await document(service, page)).partition("<script>")[0]
    assert '<div id="host"></div>' in found
    assert "srcdoc" in found
    assert 'value="first"' in found
    assert [one["count"] for one in await elements(service, page, "b", "iframe p")] == [0, 0]


async def test_text_that_utf8_cannot_express_is_replaced(service: Service) -> None:
    """A lone surrogate of a script's; others stay pairs at every place where the text is cut."""
    half = "<p></p><script>document.querySelector('p').textContent = 'a\\uD800b'</script>"
    assert "<p>a�b</p>" in await document(service, half)
    (found,) = await elements(service, half, "p")
    assert found["elements"][0]["text"] == "a�b"
    for before in ("", "x"):
        script = f"p.textContent = '{before}' + '\U0001f600'.repeat({SLICE})"
        text = await document(service, f"<p id=p></p><script>{script}</script>")
        assert f">{before}{chr(0x1F600) * SLICE}</p>" in text


@pytest.mark.parametrize(
    ("wanted", "limit"),
    [({"format": "html"}, MAX_DOCUMENT_BYTES),
     ({"format": "elements", "elements": ["p"]}, MAX_ELEMENTS_BYTES)],
)  # fmt: skip
@pytest.mark.parametrize("letter", some_in_quick(["x", "ü", "\\u0001"], 3))
async def test_what_is_too_large_is_refused(
    service: Service, wanted: dict[str, Any], limit: int, letter: str
) -> None:
    """By its bytes in UTF-8, whether that is known in the page or only afterwards."""
    page = f"<p id=p></p><script>p.textContent = '{letter}'.repeat({limit * 3 // 4})</script>"
    answer = await service.render(html=page, **wanted)
    is_fit = letter != "ü" and wanted["format"] == "html"
    assert answer.status == (200 if is_fit else 422), letter
    if not is_fit:
        problem = await answer.json()
        assert problem["code"] == "content_too_large"
        assert f"{limit >> 20} MiB" in problem["detail"]


async def test_the_elements_of_all_selectors_are_limited(service: Service) -> None:
    """Of more there is the number."""
    page = f"<b>first</b>{'<i>x</i>' * (MAX_ELEMENTS + 7)}"
    first, others, last = await elements(service, page, "b", "i", "i:last-child")
    assert (first["count"], len(first["elements"])) == (1, 1)
    assert (others["count"], len(others["elements"])) == (MAX_ELEMENTS + 7, MAX_ELEMENTS - 1)
    assert (last["count"], last["elements"]) == (1, [])


async def test_one_load_gives_a_document_elements_and_a_picture(service: Service) -> None:
    """All of the same state of the page, before a PDF changes it."""
    page = "<!DOCTYPE html><title>t</title><p>x<script>document.body.dataset.at = 1</script>"
    outputs = [
        {"name": "sheet", "format": "pdf", "full_page": True}, {"name": "page", "format": "html"},
        {"name": "found", "format": "elements", "elements": ["p", "title"]}, {"name": "picture"},
    ]  # fmt: skip
    where, job = f"{service.address}/render", {"html": page, "outputs": outputs, "width": 50}
    answer = await service.client.post(where, json=job, headers={"Accept": "application/json"})
    assert answer.status == 200, await answer.text()
    made = {one["name"]: one for one in (await answer.json())["outputs"]}
    body = {name: base64.b64decode(one["data"]) for name, one in made.items()}
    assert body["sheet"].startswith(b"%PDF")
    assert b'<body data-at="1">' in body["page"]
    assert b"contain:" not in body["page"]
    assert [one["count"] for one in json.loads(body["found"])["selectors"]] == [1, 1]
    assert decode(body["picture"]).size == (50, 1334)
    assert made["page"]["content_type"] == "text/html; charset=utf-8"
    assert not {"width", "pages"} & set(made["page"])


async def test_as_files_they_have_the_usual_suffixes(service: Service) -> None:
    """In parts and in a zip file."""
    outputs = [{"format": "html"}, {"format": "elements", "elements": ["p"]}]
    text = (await service.picture(html="<p>x", outputs=outputs)).decode()
    assert 'filename="1.html"' in text
    assert 'filename="2.json"' in text


async def test_accept_of_json_is_as_for_pictures(service: Service) -> None:
    """Where it is asked for by name, `data` is in it; `*/*` gives the plain answer."""
    job = {"html": "<p>x", "format": "elements", "elements": ["p"]}
    plain = await caching.ask(service, job, Accept="application/json, */*")
    assert list(await plain.json()) == ["selectors"]
    assert plain.headers["Content-Type"] == "application/json"
    wrapped = await caching.ask(service, job, Accept="application/json")
    found = await wrapped.json()
    assert (found["format"], found["content_type"]) == ("elements", "application/json")
    assert base64.b64decode(found["data"]) == await plain.read()
    assert plain.headers["ETag"] != wrapped.headers["ETag"]


async def test_text_is_cached_as_pictures_are(service: Service) -> None:
    """Of a static page; other selectors are another answer."""
    job: dict[str, Any] = {"html": "<p>cached", "format": "elements", "elements": ["p"]}
    others: list[dict[str, Any]] = [{"elements": ["i"]}, {"format": "html", "elements": []}]
    for one in (job, *({**job, **other} for other in others)):
        first, second = [await caching.ask(service, one) for _ in range(2)]
        assert (caching.cache_status(first), caching.cache_status(second)) == ("miss", "hit")
        assert await first.read() == await second.read()
        known = await caching.ask(service, one, If_None_Match=first.headers["ETag"])
        assert known.status == 304


async def test_conditions_and_warnings_are_those_of_pictures(service: Service) -> None:
    """What the page did not get is known, and may fail the render."""
    page = "<img src=missing.png><p>x"
    answer = await service.render(html=page, format="html")
    assert "missing.png" in answer.headers["X-Render-Warnings"]
    answer = await service.render(html=page, format="elements", elements=["p"], strict=True)
    assert answer.status in (422, 502)


@pytest.mark.parametrize("source", [
    {"markdown": "# Title"}, {"template": "article-card", "data": "sample"},
])  # fmt: skip
async def test_other_sources_have_documents_too(service: Service, source: dict[str, Any]) -> None:
    """Markdown that became a page, and a template filled with data."""
    if source.get("data") == "sample":
        templates = (await (await service.get("/templates")).json())["templates"]
        (sample,) = [one["sample"] for one in templates if one["name"] == source["template"]]
        source = {**source, "data": sample}
    found = (await service.picture(**source, format="html")).decode()
    assert "<html" in found
    assert "Title</h1>" in found or "template" in source


@pytest.mark.parametrize(("options", "field"), [
    ({"quality": 5}, "quality"), ({"background": "#ffffff"}, "background"),
    ({"selector": "p"}, "selector"), ({"full_page": True}, "full_page"), ({"pdf": {}}, "pdf"),
    ({"clip": {"width": 1, "height": 1}}, "clip"), ({"selector": "p", "padding": 3}, "padding"),
    ({"png_compression": "small"}, "png_compression"),
])  # fmt: skip
@pytest.mark.parametrize("form", ["html", "elements"])
async def test_options_of_pictures_are_refused(
    service: Service, form: str, options: dict[str, Any], field: str
) -> None:
    """By name."""
    given = {"elements": ["p"]} if form == "elements" else {}
    answer = await service.render(html="<p>", format=form, **given, **options)
    assert answer.status == 400
    assert field in [one["field"] for one in (await answer.json())["errors"]]


@pytest.mark.parametrize(("options", "field"), [
    ({"format": "elements"}, "format"), ({"format": "elements", "elements": []}, "format"),
    ({"elements": ["p"]}, "elements"), ({"format": "html", "elements": ["p"]}, "elements"),
    ({"format": "elements", "elements": ["p", "a["]}, "elements.1"),
    ({"format": "elements", "elements": ["p"] * 21}, "elements"),
    ({"format": "elements", "elements": [""]}, "elements.0"),
    ({"outputs": [{"format": "elements"}]}, "outputs.0.format"),
    ({"outputs": [{"format": "elements", "elements": [":x"]}]}, "outputs.0.elements.0"),
])  # fmt: skip
async def test_selectors_are_checked(service: Service, options: dict[str, Any], field: str) -> None:
    """They are needed by `elements`, and by no other format."""
    answer = await service.render(html="<p>", **options)
    assert (answer.status, (await answer.json())["field"]) == (400, field)


async def test_a_page_that_crashes_its_process_fails_its_own_render(service: Service) -> None:
    """A selector that matches very much text many times does not take the service's memory."""
    page = "<div>" * 400 + "x" * 50_000
    answer = await service.render(html=page, format="elements", elements=["div"])
    assert (answer.status, (await answer.json())["code"]) == (422, "content_too_large")
    assert await service.picture(html="<p>next")
