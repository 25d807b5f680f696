"""Templates over HTTP: reloaded when they change, mistakes reported, pictures sent with data."""

import asyncio
import io
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from poster_service.settings import default_templates
from tests.conftest import settled
from tests.web.conftest import Service, StartService
from tests.web.pictures import BLUE, GREEN, RED, at, decode
from tests.web.served import run
from tests.web.service import running_in_own_folder

SAMPLE = json.loads((default_templates() / "share-poster/sample.json").read_text("utf-8"))
CSS = "body { margin: 0; background: %s } img { display: block; width: 50px; height: 50px }"
PAGE = '<!doctype html><link rel="stylesheet" href="style.css">{{ title }}'


def make(root: Path, name: str = "plain", page: str = PAGE, **files: str) -> Path:
    """A template folder; a dot in a file's name is written `__`."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "poster.html").write_text(page)
    (folder / "schema.json").write_text('{"type": "object"}')
    (folder / "sample.json").write_text('{"title": "", "photo": "photo.png"}')
    for file, text in {"style__css": CSS % "red", **files}.items():
        (folder / file.replace("__", ".")).write_text(text)
    return folder


def job(name: str = "plain", **options: Any) -> dict[str, Any]:
    """A small render of a template."""
    return {"template": name, "data": {"title": ""}, "width": 60, "height": 60, **options}


async def colour(service: Service, **options: Any) -> tuple[int, ...]:
    """What a template's page shows in a corner."""
    return at(decode(await service.picture(**job(**options))), 55, 55)


async def problem(service: Service, **options: Any) -> tuple[int, dict[str, Any]]:
    """Status and body of what is no picture."""
    answer = await service.render(**job(**options))
    return answer.status, await answer.json()


async def listing(service: Service, path: str = "/templates") -> dict[str, Any]:
    """GET /templates, or another."""
    found: dict[str, Any] = await (await service.get(path)).json()
    return found


# --- reload ------------------------------------------------------------------------------------


async def test_a_change_is_in_the_next_picture_and_not_that_of_the_cache(
    start_service: StartService, tmp_path: Path
) -> None:
    """Page, style, include; and what is put back is found again."""
    folder = make(tmp_path, page=PAGE + "{% include 'plain/part.html' %}", part__html="")
    service = await start_service(templates=tmp_path, cache_bytes=1 << 20)
    assert await colour(service) == RED
    (folder / "style.css").write_text(CSS % "blue")
    assert await colour(service) == BLUE
    (folder / "part.html").write_text("<style>b{}</style><link rel=stylesheet href=green.css>")
    (folder / "green.css").write_text("body { background: green !important }")
    assert await colour(service) == GREEN
    (folder / "poster.html").write_text(PAGE)
    assert await colour(service) == BLUE
    (folder / "green.css").unlink()
    (folder / "style.css").write_text(CSS % "red")
    assert await colour(service) == RED


async def test_a_file_that_changes_under_a_render_is_not_kept_under_its_old_version(
    start_service: StartService, tmp_path: Path, serve_pages: Any
) -> None:
    """The page holds the render up while its style is changed, which it asks for afterwards."""
    folder = make(tmp_path, page=PAGE.replace("style.css", "first.css"))
    (folder / "first.css").write_text('@import "style.css";')
    service = await start_service(templates=tmp_path, cache_bytes=1 << 20, concurrency=1)
    assert await service.at_rest()  # or the slot that is taken may be the probe's
    hold = asyncio.create_task(
        service.render(html="<script>for (;;);</script>", timeout_ms=60_000, width=9, height=9)
    )
    assert await settled(lambda: service.engine.admission.statistics().running == 1)
    waiting = asyncio.create_task(service.render(**job(cache_ttl=60)))
    assert await settled(lambda: service.engine.admission.statistics().waiting == 1)
    (folder / "style.css").write_text(CSS % "blue")
    hold.cancel()
    answer = await waiting
    assert answer.status == 200
    assert answer.headers["X-Cache"] == "bypass"
    (folder / "style.css").write_text(CSS % "red")
    again = await service.render(**job(cache_ttl=60))
    assert again.headers["X-Cache"] == "miss"
    assert at(decode(await again.read()), 55, 55) == RED


async def test_folders_come_and_go_while_the_service_runs(
    start_service: StartService, tmp_path: Path
) -> None:
    """In renders, in the list, and in the document of the API."""
    make(tmp_path)
    service = await start_service(templates=tmp_path)
    assert (await problem(service, name="later"))[1]["code"] == "unknown_template"
    make(tmp_path, "later", style__css=CSS % "blue")
    assert await colour(service, name="later") == BLUE
    assert [one["name"] for one in (await listing(service))["templates"]] == ["later", "plain"]
    document = await listing(service, "/openapi.json")
    schema = document["components"]["schemas"]["RenderRequest"]["properties"]["template"]
    assert schema["anyOf"][0]["enum"] == ["later", "plain"]
    shutil.rmtree(tmp_path / "plain")
    status, error = await problem(service)
    assert (status, error["code"], error["allowed"]) == (404, "unknown_template", "later")
    document = await listing(service, "/openapi.json")
    schema = document["components"]["schemas"]["RenderRequest"]["properties"]["template"]
    assert schema["anyOf"][0]["enum"] == ["later"]


async def test_a_change_for_the_worse_is_reported_and_the_version_before_serves(
    start_service: StartService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log without any request, in GET /templates and in /status; without our paths."""
    folder = make(tmp_path)
    service = await start_service(templates=tmp_path)
    (folder / "poster.html").write_text("<p>\n{{ titel }}")

    def is_logged() -> bool:
        return any(one.levelname == "ERROR" for one in caplog.records)

    assert await settled(is_logged)
    assert await colour(service) == RED
    mistake = "plain/poster.html, line 2: `titel` is undefined"
    wanted = [{"name": "plain", "in_use": True, "mistakes": [mistake]}]
    found = await listing(service)
    assert found["faults"] == wanted
    assert [one["name"] for one in found["templates"]] == ["plain"]
    status = await service.get("/status")
    assert (await status.json())["templates"]["faults"] == wanted
    assert str(tmp_path) not in json.dumps(found) + await status.text()
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1


async def test_a_template_that_fails_for_some_data_tells_where(
    start_service: StartService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """File, line and variable; no value, no path, no code of ours."""
    caplog.set_level("INFO")
    make(tmp_path, page="<p>\n{% if title == 'SECRET' %}{{ subtitle.text }}{% endif %}")
    service = await start_service(templates=tmp_path)
    status, error = await problem(service, data={"title": "SECRET"})
    assert (status, error["code"]) == (502, "page_failed")
    assert "plain/poster.html, line 2: `subtitle` is undefined" in error["detail"]
    assert "SECRET" not in json.dumps(error)
    assert str(tmp_path) not in json.dumps(error)
    assert "UndefinedError" in caplog.text


@pytest.mark.slow
async def test_the_commands_explain_a_template_in_the_same_words(
    work_dir: Path, tmp_path: Path
) -> None:
    """`render` and `serve`, before anything is started; and a mistake that only some data shows."""
    folder = make(tmp_path / "t", page="<p>\n{{ titel }}")
    data = tmp_path / "data.json"
    data.write_text('{"title": "SECRET"}')
    out = str(tmp_path / "x.png")
    for words in (("render", "--template", "plain", "-o", out), ("serve", "--port", "0")):
        status, _, err = await run(work_dir, *words, POSTER_TEMPLATES=str(tmp_path / "t"))
        assert status == 1
        assert "plain/poster.html, line 2: `titel` is undefined" in err
        assert "Traceback" not in err
    (folder / "poster.html").write_text("{% if title == 'SECRET' %}\n{{ titel }}{% endif %}")
    more = ("render", "--template", "plain", "--data", str(data), "-o", out)
    status, _, err = await run(work_dir, *more, POSTER_TEMPLATES=str(tmp_path / "t"))
    assert (status, len(err.splitlines())) == (1, 1)
    assert "plain/poster.html, line 2: `titel` is undefined" in err


# --- pictures that come with data --------------------------------------------------------------


def square(name: str) -> bytes:
    """A picture of one colour."""
    made = io.BytesIO()
    Image.new("RGB", (4, 4), name).save(made, "PNG")
    return made.getvalue()


def form(*fields: tuple[str, str], **files: bytes) -> aiohttp.FormData:
    """Fields, and files by their names, `__` for a dot."""
    made = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for name, value in fields:
        made.add_field(name, value)
    for name, body in files.items():
        path = name.replace("__", ".")
        made.add_field(path, body, filename=path.rpartition("/")[2])
    return made


async def post(service: Service, data: aiohttp.FormData, query: str = "") -> tuple[int, Any]:
    """Status, and the picture or the problem."""
    where = f"{service.address}/render?width=60&height=60{query}"
    async with service.client.post(where, data=data) as answer:
        is_picture = answer.content_type.startswith("image/")
        return answer.status, await answer.read() if is_picture else await answer.json()


SHOWN = PAGE + '<img src="{{ photo }}">'
DATA = '{"title": "", "photo": "my/photo.png"}'


@pytest.fixture(scope="module")
async def shows(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service with a template that shows a picture of its data."""
    folder = make(tmp_path_factory.mktemp("templates"), page=SHOWN)
    async with running_in_own_folder(templates=folder.parent) as found:
        yield found


async def test_a_picture_comes_with_the_data_that_names_it(shows: Service) -> None:
    """Data as a field, as a file, as dotted fields; the template in the query too."""
    photo = {"my/photo__png": square("blue")}
    named = ("template", "plain")
    dotted = (("data.title", "x"), ("data.photo", "my/photo.png"))
    for data, query in (
        (form(named, ("data", DATA), **photo), ""),
        (form(named, data=DATA.encode(), **photo), ""),
        (form(named, *dotted, **photo), ""),
        (form(("data", DATA), **photo), "&template=plain"),
        (form(named, ("data", DATA), ("format", "png"), ("quality", ""), **photo), "&strict=true"),
    ):
        status, body = await post(shows, data, query)
        assert status == 200, body
        shown = decode(body)
        assert at(shown, 55, 55) == RED
        assert at(shown, 20, 45) == BLUE


async def test_our_own_templates_show_pictures_that_come_along(service: Service) -> None:
    """By curl, as the README has it; and no other caller's page has them."""
    fields = (("template", "share-poster"), ("width", "750"), ("height", "1334"))
    data = {**SAMPLE, "image": "照片.png"}

    async def picture(**files: bytes) -> bytes:
        made = form(*fields, ("data", json.dumps(data)), **files)
        async with service.client.post(f"{service.address}/render", data=made) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    with_it = await picture(照片__png=square("blue"))
    assert at(decode(with_it), 375, 300) == BLUE
    assert at(decode(await picture()), 375, 300) != BLUE


@pytest.mark.parametrize(
    ("parts", "field", "detail"),
    [
        (form(("width", "5")), "index.html", "`template`"),
        (form(("template", "plain"), index__html=b"<p>"), "template", "index.html"),
        (form(("template", "plain"), ("data", "{")), "data", "not JSON"),
        (form(("template", "plain"), ("data", "[]")), "data", ""),
        (form(("template", "plain"), ("data", "{}"), ("data.a", "1")), "data", "more than once"),
        (form(("template", "plain"), ("data", "{}"), data=b"{}"), "data", "more than once"),
        (form(("template", "plain"), ("data.a", "1"), ("data.a.b", "1")), "data.a.b", ""),
        (form(("template", "plain"), ("template", "plain")), "template", "more than once"),
        (form(("template", "plain"), ("html", "<p>")), "html", ""),
        (form(("template", "plain"), ("nonsense", "1")), "nonsense", "unknown option"),
        (form(("template", "plain"), style__css=b"p{}"), "style.css", "of that name"),
        (form(("template", "plain"), more__css=b"p{}"), "more.css", "image/*, video/*, audio/*"),
        (form(("template", "plain"), more__js=b"1"), "more.js", "image/*, video/*, audio/*"),
        (form(("template", "plain"), more__html=b"1"), "more.html", "image/*, video/*, audio/*"),
        (form(("template", "plain"), more__wasm=b"1"), "more.wasm", "image/*, video/*, audio/*"),
        (form(("template", "plain"), **{"../x__png": b""}), "../x.png", "below the page"),
    ],
)  # fmt: skip
async def test_a_form_that_makes_no_sense_says_what_is_accepted(
    shows: Service, parts: aiohttp.FormData, field: str, detail: str
) -> None:
    """By the part that is at fault."""
    status, error = await post(shows, parts)
    assert (status, error["field"]) == (400, field)
    assert detail in error["detail"]


#: Each asks for a file of the caller's, named by the data, as something that is no picture.
ASKED = (
    '<link rel="stylesheet" href="{{ photo }}">',
    '<link rel="preload" as="style" href="{{ photo }}"><link rel="stylesheet" href="{{ photo }}">',
    '<link rel="preload" as="image" href="{{ photo }}"><link rel="stylesheet" href="{{ photo }}">',
    '<script src="{{ photo }}"></script>',
    '<script type="module" src="{{ photo }}"></script>',
    '<link rel="modulepreload" href="{{ photo }}"><script src="{{ photo }}"></script>',
    '<iframe src="{{ photo }}"></iframe>',
    '<object data="{{ photo }}"></object><embed src="{{ photo }}">',
    '<img src="{{ photo }}"><script src="own.js"></script>',
    '<img src="{{ photo }}"><link rel="stylesheet" href="own.css">',
)
OWN_JS = """
for (const address of [document.images[0].src, 'evil.png'])
  fetch(address).then(r => { if (r.ok) document.body.style.background = 'blue' }, () => {});
import(document.images[0].src).then(() => {}, () => {});
new Worker('evil.png');
const s = document.createElement('script'); s.src = 'evil.png'; document.body.append(s);
"""


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(ASKED[::5], id="some"),
        pytest.param(
            [one for one in ASKED if one not in ASKED[::5]], id="others", marks=pytest.mark.slow
        ),
    ],
)
async def test_a_callers_file_is_never_code_or_style_of_a_templates_page(
    start_service: StartService, tmp_path: Path, asked: Sequence[str]
) -> None:
    """With any content, and in any way in which a careless template asks for it: a picture."""
    own = "@import 'evil.png';"
    for place, markup in enumerate(asked):
        page = '<!doctype html><link rel="stylesheet" href="style.css">' + markup
        make(tmp_path, f"t{place}", page, own__js=OWN_JS, own__css=own)
    service = await start_service(templates=tmp_path)
    evil = b"body { background: blue !important } /*"
    script = b"document.body.style.background = 'blue'"
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"
    data = ("data", '{"title": "", "photo": "evil.png"}')
    for place, markup in enumerate(asked):
        for body in (evil, script, drawing):
            sent = form(("template", f"t{place}"), data, evil__png=body)
            status, shown = await post(service, sent)
            assert status == 200, shown
            assert at(decode(shown), 55, 55) == RED, (markup, body)


async def test_a_templates_own_file_goes_before_one_of_the_callers(
    start_service: StartService, tmp_path: Path
) -> None:
    """By any name of it: the name itself is refused, and others lead to the template's."""
    folder = make(tmp_path, page=SHOWN.replace("{{ photo }}", "img/%70hoto.png"))
    (folder / "img").mkdir()
    (folder / "img/photo.png").write_bytes(square("green"))
    service = await start_service(templates=tmp_path)
    fields = (("template", "plain"), ("data", '{"title": ""}'))
    status, error = await post(service, form(*fields, **{"img/photo__png": square("blue")}))
    assert (status, error["field"]) == (400, "img/photo.png")
    status, shown = await post(service, form(*fields, **{"img/%70hoto__png": square("blue")}))
    assert status == 200
    assert at(decode(shown), 20, 45) == GREEN
