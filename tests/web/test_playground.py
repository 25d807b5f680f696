"""GET /: a few words for programs, a form for people; what it sends is rendered."""

from html.parser import HTMLParser

import aiohttp
import pytest

from poster_service.render.request import OPTIONS
from tests.web.conftest import Service, StartService
from tests.web.pictures import decode

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Form(HTMLParser):
    """The form of a page, and what a browser sends of it as it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.about: dict[str, str | None] = {}
        self.fields: dict[str, str] = {}
        self.kinds: dict[str, str] = {}
        self.elements: set[str] = set()
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Fields by name."""
        given = dict(attrs)
        self.elements.add(tag)
        if tag == "form":
            self.about = given
        name = given.get("name")
        if tag in ("textarea", "input", "select") and name:
            self.kinds[name] = given.get("type") or tag
            self.fields[name] = given.get("value") or ""
            self._text = name if tag == "textarea" else ""

    def handle_data(self, data: str) -> None:
        """A text area has its text inside."""
        if self._text:
            self.fields[self._text] += data

    def handle_endtag(self, tag: str) -> None:
        """Its end."""
        if tag == "textarea":
            self._text = ""


async def visit(service: Service) -> tuple[aiohttp.ClientResponse, Form, str]:
    """The page as a browser gets it."""
    async with service.client.get(f"{service.address}/", headers=BROWSER) as answer:
        text = await answer.text()
        form = Form()
        form.feed(text)
        return answer, form, text


async def test_a_program_gets_a_few_words(service: Service) -> None:
    """Where to go from here."""
    answer = await service.get("/")
    assert answer.content_type == "text/plain"
    assert "/openapi.json" in await answer.text()


async def test_the_form_as_it_stands_is_a_picture(service: Service) -> None:
    """Every option with a name of its own is there; sent as a browser does, with empty fields."""
    _, form, _ = await visit(service)
    others = {"html", "template", "data", "media_features"}
    assert set(form.fields) == {*OPTIONS, "index.html", "files"} - others
    assert form.kinds["files"] == "file"
    assert (form.about["method"], form.about["enctype"]) == ("post", "multipart/form-data")
    data = aiohttp.FormData(quote_fields=False)
    for name, value in form.fields.items():
        more = {"filename": ""} if form.kinds[name] == "file" else {}
        data.add_field(name, value.encode() if more else value, **more)
    headers = {"Origin": service.address, "Sec-Fetch-Site": "same-origin"}
    where = f"{service.address}/{form.about['action']}"
    async with service.client.post(where, data=data, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert decode(await answer.read()).size == (750, 1334)


async def test_the_page_runs_nothing_and_sends_its_form_to_us_only(service: Service) -> None:
    """And is in nobody's frame."""
    answer, form, text = await visit(service)
    rules = dict(
        rule.strip().split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split(";")
    )
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["form-action"] == rules["frame-src"] == "'self'"
    assert "script-src" not in rules
    assert "script" not in form.elements
    assert answer.headers["X-Frame-Options"] == "DENY"
    # Or its form's Origin would be "null", and refused where no Sec-Fetch-Site comes with it.
    assert '<meta name="referrer" content="same-origin">' in text


@pytest.mark.parametrize("guarded", [True, False])
async def test_it_says_when_a_token_is_needed(start_service: StartService, guarded: bool) -> None:
    """Open all the same: it tells nothing."""
    service = await start_service(tokens="web=web-token-0123456789" if guarded else "")
    answer, _, text = await visit(service)
    assert answer.status == 200
    assert ("asks for a token" in text) == guarded
