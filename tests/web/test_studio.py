"""GET /: a few words for programs; for people a page, and a plain form where no script runs.

What the page does in a browser is in tests/browser.
"""

import json
import re
from html.parser import HTMLParser

import aiohttp
import pytest

from poster_service.render.network_options import CookieOptions
from poster_service.render.option_list import entries
from poster_service.render.options import RenderOptions
from poster_service.web.studio import data_block
from tests.docs.pages import ROOT
from tests.web.conftest import Service, StartService
from tests.web.pictures import decode

#: What has a meaning with a `url` only, which the form has not: it sends a page.
NEED_URL = {
    "allow_error_status", "headers.NAME", "credentials.username", "credentials.password",
    "referrer", "fail_on_status.page.0",
    *(f"cookies.0.{name}" for name in CookieOptions.model_fields),
}  # fmt: skip
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
        if tag == "form" and given.get("action"):
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
    # A value of a map has no field: its name is the caller's choice. Nor have outputs.
    options = {entry.name for entry in entries(RenderOptions) if entry.is_value}
    options = {name for name in options - NEED_URL if not name.endswith(".NAME")}
    options = {name for name in options if not name.startswith("outputs.")}
    assert "pdf.margin.top" in options
    assert set(form.fields) == options | {"index.html", "files"}
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


async def test_the_page_runs_its_own_files_only_and_sends_its_form_to_us_only(
    service: Service,
) -> None:
    """And no page has it in a frame."""
    answer, _, text = await visit(service)
    rules = dict(
        rule.strip().split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split(";")
    )
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == rules["form-action"] == "'self'"
    assert rules["frame-src"] == "'self' blob:"
    assert answer.headers["X-Frame-Options"] == "DENY"
    # Or its form's Origin would be "null", and refused where no Sec-Fetch-Site comes with it.
    assert '<meta name="referrer" content="same-origin">' in text
    nonces = {(await visit(service))[0].headers["Content-Security-Policy"] for _ in range(2)}
    assert len(nonces) == 2


async def test_the_page_has_every_option_once_as_it_is_declared(service: Service) -> None:
    """In sections, with its schema: there is no other list of options."""
    _, _, text = await visit(service)
    block = text.split('<script type="application/json" id="about">')[1].split("</script>")[0]
    about = json.loads(block)
    shown = [one for section in about["sections"] for one in section["options"]]
    assert [one["name"] for one in shown] == list(RenderOptions.model_fields)
    assert all(one["schema"]["description"] for one in shown)
    assert [one["title"] for one in about["sections"]] == [
        entry.option.begins
        for entry in entries(RenderOptions)
        if entry.option.begins and "." not in entry.name
    ]
    by_name = {one["name"]: one for one in shown}
    assert by_name["timeout_ms"]["schema"]["maximum"] == service.server.settings.max_timeout_ms
    assert by_name["quality"]["formats"] == ["jpeg", "webp", "avif"]
    secret = {name for name, one in by_name.items() if one["secret"]}
    assert secret == {"headers", "scoped_headers", "cookies", "credentials", "destination"}


def test_the_studio_has_words_for_every_reason_of_a_warning() -> None:
    """By the table of the docs: each has a remedy, and no remedy is for an unknown reason."""
    table = (ROOT / "docs/api.md").read_text("utf-8").split("| warning | `reason` |")[1]
    reasons: set[str] = set()
    for row in table.split("\n\n")[0].splitlines():
        if not row.startswith(("| `denied`", "| `failed`")):
            continue
        given = row.split("|")[2].replace("(`file:` and others)", "").replace("(`http:` except", "")
        reasons |= set(re.findall(r"`([a-z_]+)`", given))
    words = (ROOT / "web_assets/src/studio/remedies.ts").read_text("utf-8")
    tables = words.split("const DENIED")[1].split("const OTHER")[0]
    assert set(re.findall(r"^ {2}([a-z_]+):", tables, re.MULTILINE)) == reasons


async def test_nothing_in_the_data_of_the_page_ends_its_element() -> None:
    """A text with the end of a script in it stays text."""
    text = "</script><script>alert(1)</script><!--"
    block = data_block({"a": text})
    assert "<" not in block
    assert json.loads(block) == {"a": text}


@pytest.mark.parametrize("guarded", [True, False])
async def test_it_says_when_a_token_is_needed(start_service: StartService, guarded: bool) -> None:
    """Open all the same: it tells nothing."""
    service = await start_service(tokens="web=web-token-0123456789" if guarded else "")
    answer, _, text = await visit(service)
    assert answer.status == 200
    assert ("which a form cannot send" in text) == guarded
