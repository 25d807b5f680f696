"""An option is declared once: all that shows or reads options has all of them, nested ones too."""

import argparse
import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from poster_service import cli
from poster_service.commands.render import add_render_options
from poster_service.commands.sign import add_sign_options
from poster_service.credentials import SigningKey
from poster_service.errors import Fault, InvalidField, OperatorError
from poster_service.render.declaration import Option, OptionGroup
from poster_service.render.faults import allowed_for
from poster_service.render.flags import add_flags, flags, given_options
from poster_service.render.flat import flatten, nest
from poster_service.render.formats import FORMATS
from poster_service.render.option_list import entries, entries_by_name, options_table
from poster_service.render.options import RenderOptions
from poster_service.render.request import Limits, RenderRequest
from poster_service.settings import Settings
from poster_service.web import openapi, signed
from poster_service.web.app import make_app
from poster_service.web.bodies import BODY_LIMITS, BodyLimits, read_request
from poster_service.web.options import options as query_options
from poster_service.web.service import Service
from poster_service.web.signed import options_of
from tests.unit.made_up_options import GOOD, MadeUp, MadeUpRequest, good, needs_url, with_source

LIMITS = BodyLimits(max_bytes=10_000, seconds=1, max_depth=5, max_items=100)


def fits_template(name: str) -> bool:
    """Whether an option has a meaning beside a template."""
    return entries_by_name(MadeUp)[name].fits("template")


def parse(given_: dict[str, Any], *, strict: bool = True) -> MadeUp:
    """The options of a page."""
    made = MadeUpRequest.parse(with_source(given_), Limits(), strict=strict).options
    assert isinstance(made, MadeUp)
    return made


def faults(**given_: Any) -> list[Fault]:
    """What is wrong with them."""
    with pytest.raises(InvalidField) as caught:
        parse(given_)
    return list(caught.value.faults)


def texts(value: Any) -> Any:
    """Every value as text, as in a query."""
    if isinstance(value, dict):
        return {name: texts(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [texts(inner) for inner in value]
    return json.dumps(value) if isinstance(value, bool) else str(value)


def pairs(options: dict[str, Any]) -> list[tuple[str, str]]:
    """The same as a query has them."""
    return [(name, signed.text_of(value)) for name, value in flatten(options)]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The OpenAPI document of a service with the made-up options."""
    given_: dict[str, Any] = {"work_dir": tmp_path_factory.mktemp("w")}
    given_["signing_keys"] = "k=0123456789abcdef"
    app = make_app(Service.build(Settings(**given_)))
    made: dict[str, Any] = json.loads(json.dumps(openapi.document(app, MadeUpRequest)))
    return made


EVERY = sorted(MadeUp.model_fields)
#: What may stand beside a template, as in a signed URL.
OF_TEMPLATES = [name for name in EVERY if fits_template(name)]


def test_every_option_has_a_value_here() -> None:
    """So that none is forgotten below."""
    assert set(GOOD) == set(EVERY) > set(RenderOptions.model_fields)


@pytest.mark.parametrize("name", EVERY)
def test_an_option_is_read_from_json(name: str) -> None:
    """As an object where it is nested; and its schema takes it."""
    assert parse(good(name)).is_given(name)
    schema = MadeUpRequest.json_schema(Limits())
    assert Draft202012Validator(schema).is_valid(with_source(good(name)))


@pytest.mark.parametrize("name", EVERY)
def test_an_option_is_read_from_a_query_or_a_form_as_from_json(name: str) -> None:
    """By dotted names; every value is text."""
    flat = nest(pairs(good(name)), MadeUp)
    assert flat == texts(good(name))
    assert parse(flat, strict=False) == parse(good(name))


@pytest.mark.parametrize("name", OF_TEMPLATES)
def test_an_option_is_read_from_a_signed_url(name: str) -> None:
    """As `sign` prints it, which the keys of the service verify."""
    key = SigningKey("k", b"0123456789abcdef")
    url = signed.address(key, "http://x", {"template": "card", **good(name)}, 77)
    query = make_mocked_request("GET", url.removeprefix("http://x")).query
    given_ = list(query.items())
    assert signed.verified([key], "card", given_) == (key, 77)
    found = options_of("card", given_, LIMITS, MadeUpRequest)
    made = MadeUpRequest.parse(found, Limits(), strict=False)
    assert made.options == parse(good(name))


@pytest.mark.parametrize("way", ["json", "query", "form"])
async def test_every_option_is_read_over_http(way: str) -> None:
    """By the reader of bodies: JSON, HTML with a query, a form."""

    async def echo(request: web.Request) -> web.Response:
        try:
            made = await read_request(request, Limits(), MadeUpRequest)
        except InvalidField as error:
            return web.Response(status=400, text=str(error))
        return web.Response(text=made.options.model_dump_json())

    app = web.Application()
    app[BODY_LIMITS] = LIMITS
    app.router.add_post("/", echo)
    async with TestClient(TestServer(app)) as client:
        for name in EVERY:
            flat = pairs(good(name))
            if way == "json":
                sent = client.post("/", json=with_source(good(name)))
            elif way == "query":
                if needs_url(name):
                    continue  # the body is the page
                sent = client.post(
                    "/", params=flat, data="x", headers={"Content-Type": "text/html"}
                )
            else:
                form = FormData(default_to_multipart=True)
                source = with_source(good(name)).get("url")
                page = ("url", source) if source else ("index.html", "x")
                for field, text in (page, *flat):
                    form.add_field(field, text)
                sent = client.post("/", data=form)
            async with sent as answer:
                text = await answer.text()
                assert answer.status == 200, text
                assert MadeUp.model_validate_json(text) == parse(good(name))


def words_of(options: dict[str, Any]) -> list[str]:
    """Options as flags."""
    words: list[str] = []
    for flag, entry in flags(MadeUp).items():
        value: Any = options
        for step in entry.name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if value is None or (isinstance(value, dict) and not entry.is_map):
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, dict):
            words += [word for name, one in value.items() for word in (flag, f"{name}={one}")]
        elif isinstance(value, list):
            shown = [one if isinstance(one, str) else json.dumps(one) for one in value]
            words += [word for one in shown for word in (flag, one)]
        else:
            words += [flag, str(value)]
    return words


@pytest.mark.parametrize("name", EVERY)
def test_an_option_is_a_flag_of_render_and_of_sign(name: str) -> None:
    """With what it does and allows in the help."""
    for add, words in (
        (add_render_options, ["-o", "-", "-"]),
        (add_sign_options, ["card"]),
    ):
        command = argparse.ArgumentParser()
        add(command, MadeUp)
        found = given_options(command.parse_args([*words, *words_of(good(name))]), MadeUp)
        assert parse(found, strict=False) == parse(good(name))
        # So wide that no name is broken at a hyphen.
        command.formatter_class = functools.partial(argparse.HelpFormatter, width=10_000)
        help_ = " ".join(command.format_help().split())
        for entry in flags(MadeUp).values():
            assert " ".join(entry.option.description.split()) in help_


@pytest.mark.parametrize("command", ["render", "sign"])
def test_the_commands_have_every_option(command: str) -> None:
    """The whole command line, beside the flags of the settings."""
    words = ["card", *(["-o", "x"] if command == "render" else [])]
    for name in RenderOptions.model_fields:
        given_ = {key: value for key, value in good(name).items() if key != "format"}
        arguments = cli.parser().parse_args([command, *words, *words_of(given_)])
        assert texts(given_options(arguments, RenderOptions)) == texts(given_)


@pytest.mark.parametrize("name", EVERY)
def test_an_option_is_in_openapi(document: dict[str, Any], name: str) -> None:
    """In JSON's schema as it is nested, in query and form as it is written there."""
    body = document["components"]["schemas"]["RenderRequest"]["properties"]
    assert name in body
    assert body[name]["description"]
    written = {entry.name for entry in entries(MadeUp) if entry.is_value}
    assert any(one.split(".")[0] == name for one in written)
    post = document["paths"]["/render"]["post"]
    form = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    get = document["paths"]["/render/{template}"]["get"]["parameters"]
    fitting = {one for one in written if fits_template(one)}
    for one, names in ((post["parameters"], written), (get, fitting)):
        assert {parameter["name"] for parameter in one} >= names
        assert all(parameter["description"] and parameter["schema"] for parameter in one)
    assert set(form) >= written


def test_openapi_is_valid_with_nested_options(document: dict[str, Any]) -> None:
    """As an existing validator sees it."""
    OpenAPIV31SpecValidator(document).validate()


def test_bounds_of_the_settings_are_in_openapi(document: dict[str, Any]) -> None:
    """For every option that a limit bounds."""
    body = document["components"]["schemas"]["RenderRequest"]["properties"]
    assert body["delay_ms"]["maximum"] == body["timeout_ms"]["anyOf"][0]["maximum"] == 60_000


@pytest.mark.parametrize("name", EVERY)
def test_an_option_is_in_the_docs_table_and_in_error_texts(name: str) -> None:
    """With values allowed, in words."""
    (row,) = [row for row in options_table(MadeUp) if row.name == name]
    assert row.type
    assert row.description
    assert row.allowed
    assert set(row.formats) <= set(FORMATS)
    allowed = allowed_for(MadeUp, name)
    assert allowed
    assert allowed.startswith(row.allowed)
    bad = {"wrong": object} if name in ("clip", "margin") else object
    more = {"format": "pdf"} if name == "margin" else {}
    assert faults(**{name: bad, **more})[0].allowed


@pytest.mark.parametrize("name", EVERY)
def test_an_option_is_part_of_the_cache_key(name: str) -> None:
    """Unless it says that it does not change the output."""
    silent = name in (
        "timeout_ms", "cache_ttl", "filename", "isolation", "store", "object", "destination",
    )  # fmt: skip
    assert (parse(good(name)).output_options() == parse({}).output_options()) == silent


def test_words_of_the_docs_table() -> None:
    """A row says what a reader asks."""
    rows = {row.name: row for row in options_table(MadeUp)}
    quality = rows["quality"]
    assert (quality.type, quality.allowed) == ("whole number", "a whole number from 1 to 100")
    assert (quality.default, quality.formats) == ("80", ("jpeg", "webp", "avif"))
    assert rows["clip"].allowed == "an object of x, width, height and scale"
    assert (rows["clip.width"].allowed, rows["clip.x"].default) == ("a number above 0", "0")
    assert rows["stamps.0.secure"].default == "false"
    assert rows["events"].allowed == "a list of up to 2, each load or networkidle0"
    assert rows["delay_ms"].allowed == "a whole number of milliseconds from 0"
    assert "labels.NAME" not in rows


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        ({"clip": {"width": 0, "height": 1}}, "clip.width: 0 is out of range"),
        ({"clip": {"width": 1}}, "clip.height: is missing"),
        ({"clip": {"width": 1, "height": 1, "z": 1}}, "clip.z: unknown option"),
        ({"clip": 5}, "clip: 5 is not an object"),
        ({"clip": {"width": 1, "height": 1, "scale": 2}},
         "clip.scale: has no meaning without clip.x"),
        ({"clip": {"width": 1, "height": 1}, "format": "pdf"},
         "clip: has no meaning for pdf; use format png, jpeg or webp"),
        ({"clip": {"width": 1, "height": 1}, "full_page": True},
         "clip: cannot be used together with full_page (allowed: clip or full_page)"),
        ({"margin": "10 miles", "format": "pdf"}, 'margin: "10 miles" is not allowed'),
        ({"margin": {"top": "x"}, "format": "pdf"}, 'margin.top: "x" is not allowed (allowed: a'),
        ({"margin": {"up": "1mm"}, "format": "pdf"}, "margin.up: unknown option"),
        ({"labels": {"A": 5}}, "labels.A: 5 is not a string"),
        ({"events": ["load", "never"]}, 'events.1: "never" is not allowed'),
        ({"events": ["load"] * 3}, "events: has too many items"),
        ({"stamps": [{"name": ""}]}, "stamps.0.name: is empty"),
        ({"pdf": {"pages": "3-1"}, "format": "pdf"}, 'pdf.pages: "3-1" ends before it begins'),
        ({"pdf": {"margin": {"top": "1 mile"}}, "format": "pdf"},
         'pdf.margin.top: "1 mile" is not a length (allowed: 2cm, 10mm, '),
        ({"pdf": {"paper": "a9"}, "format": "pdf"}, 'pdf.paper: "a9" is not allowed (allowed: let'),
        ({"pdf": {"outline": True, "tagged": False}, "format": "pdf"},
         "pdf.outline: cannot be used together with pdf.tagged: false (allowed: pdf.outline or pd"),
        ({"pdf": {"scale": 2.0}, "format": "pdf", "full_page": True},
         "pdf.scale: cannot be used together with full_page (allowed: pdf.scale or full_page)"),
        ({"padding": 3}, "padding: has no meaning without clip"),
        ({"sheets": [{}, {"quality": 8}], "format": "jpeg"},
         "sheets.1.quality: has no meaning for png; use format jpeg, webp or avif (allowed: a"),
        ({"sheets": [{"format": "webp", "cut": {"width": 1, "height": 1}}]},
         "sheets.0.cut: has no meaning for webp; use format png or pdf"),
        ({"sheets": [{"format": "pdf", "size": 2}], "format": "webp"},
         "sheets.0.size: has no meaning without sheets.0.cut"),
        ({"delay_ms": 60_001}, "delay_ms: 60001 is more than this service allows"),
        ({"quality": 80},
         "quality: has no meaning for png; use format jpeg, webp or avif (allowed: a whole number"
         " from 1 to 100, for jpeg, webp and avif)"),
        ({"width": 0}, "width: 0 is out of range (allowed: a whole number from 1 to 16384)"),
        ({"styles": [{}]}, "styles.0: needs content or url"),
        ({"styles": [{"content": "a", "url": "b"}]},
         "styles.0.content: cannot be used together with styles.0.url (allowed: "),
        ({"scripts": [{"url": "a.js"}, {"content": ""}]}, "scripts.1.content: is empty"),
        ({"scripts": [{"content": "1"}], "javascript": False},
         "scripts: cannot be used together with javascript: false (allowed: scripts or "),
        ({"wait_for": {}}, "wait_for: needs selector, expression or event"),
        ({"wait_for": {"expression": "1"}, "javascript": False},
         "wait_for.expression: cannot be used together with javascript: false"),
        ({"wait_for": {"event": "x"}, "javascript": False},
         "wait_for.event: cannot be used together with javascript: false"),
        ({"wait_for": {"event": "no name"}}, 'wait_for.event: "no name" is not allowed'),
        ({"wait_for": {"selector": "a", "state": "there"}}, 'wait_for.state: "there" is not'),
        ({"wait_for": {"event": "a", "state": "hidden"}},
         "wait_for.state: has no meaning without wait_for.selector"),
        ({"hide": ["a"] * 51}, "hide: has too many items"),
        ({"hide": ["a", ""]}, "hide.1: is empty"),
        ({"width": "5"}, 'width: "5" is not a whole number'),
        ({"background": "red"}, 'background: "red" is not allowed (allowed: transparent or #rrggb'),
        ({"background": "transparent", "format": "jpeg"},
         "background: transparent has no meaning for jpeg; use format png, webp, avif or pdf"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_fault_says_what_is_wrong_what_was_seen_and_what_is_allowed(
    given_: dict[str, Any], found: str
) -> None:
    """Once, and of the option itself, however deep it is; the schema refuses the same."""
    (fault,) = faults(**given_)
    assert str(fault).startswith(found)
    assert fault.allowed
    if "clip.scale" not in found and "pdf.pages" not in found:
        schema = MadeUpRequest.json_schema(Limits())
        assert not Draft202012Validator(schema).is_valid({"html": "x", **given_})


@pytest.mark.parametrize("name", [name for name in EVERY if needs_url(name)])
@pytest.mark.parametrize("source", [{"html": "x"}, {"template": "card"}], ids=["html", "template"])
def test_an_option_for_pages_on_the_web_is_refused_beside_others(
    name: str, source: dict[str, Any]
) -> None:
    """With its field; the schema refuses it too, and a signed URL's parameters have none."""
    given_ = {**source, **good(name)}
    with pytest.raises(InvalidField) as caught:
        MadeUpRequest.parse(given_, Limits())
    fault = caught.value.faults[0]
    assert (fault.field, fault.message) == (name, "has no meaning without url")
    assert not Draft202012Validator(MadeUpRequest.json_schema(Limits())).is_valid(given_)


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"styles": [{"content": "a"}]}, "styles"),
        ({"scripts": [{"url": "a.js"}]}, "scripts"),
        ({"wait_for": {"selector": "a", "expression": "1"}}, "wait_for.expression"),
    ],
)
def test_code_of_a_caller_is_not_added_to_a_template(given_: dict[str, Any], field: str) -> None:
    """Also by the schema; what is no code is."""
    body = {"template": "card", "data": {}}
    with pytest.raises(InvalidField) as caught:
        RenderRequest.parse({**body, **given_}, Limits())
    assert [fault.field for fault in caught.value.faults] == [field]
    schema = Draft202012Validator(RenderRequest.json_schema(Limits()))
    assert not schema.is_valid({**body, **given_})
    assert schema.is_valid({**body, "wait_for": {"event": "a"}, "hide": ["a"], "freeze": True})
    assert schema.is_valid({"html": "x", "wait_for": None, **given_})


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        (
            {"styles": [{"url": "file:///etc/passwd"}]},
            'styles.0.url: the scheme "file" cannot be fetched',
        ),
        ({"scripts": [{"url": "http://[x"}]}, 'scripts.0.url: "http://[x" is not an address'),
        (
            {"styles": [{"content": "é" * 70_000}, {"content": "é" * 70_000}]},
            "styles: contents have 280000 bytes together",
        ),
    ],
)
def test_what_json_schema_cannot_say_of_an_insertion(given_: dict[str, Any], found: str) -> None:
    """Addresses by other schemes, and the size of all contents together."""
    (fault,) = faults(**given_)
    assert str(fault).startswith(found)
    assert fault.allowed


def test_all_faults_are_reported_at_once() -> None:
    """Of the source, of single options, of unknown ones; then of all rules."""
    with pytest.raises(InvalidField) as caught:
        MadeUpRequest.parse({"width": 0, "other": 1, "clip": {"width": 1}}, Limits())
    fields = [fault.field for fault in caught.value.faults]
    assert fields == ["html", "clip.height", "width", "other"]
    broken = faults(quality=80, padding=1, delay_ms=70_000)
    assert [fault.field for fault in broken] == ["quality", "padding", "delay_ms"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ([("width", "1"), ("width", "2")], "width"),
        ([("clip.width", "1"), ("clip.width", "2")], "clip.width"),
        ([("margin", "1mm"), ("margin.top", "1mm")], "margin.top"),
        ([("margin.top", "1mm"), ("margin", "1mm")], "margin"),
        ([("events.1", "load")], "events"),
        ([("stamps.0.name", "a"), ("stamps.2.name", "b")], "stamps"),
    ],
)
def test_a_query_that_contradicts_itself_is_refused(
    query: list[tuple[str, str]], field: str
) -> None:
    """By the name that does."""
    with pytest.raises(InvalidField) as caught:
        nest(query, MadeUp)
    assert caught.value.faults[0].field == field


@pytest.mark.parametrize(
    "name",
    ["clip.z", "clip.", "clip", "clip..x", "width.x", "x.y", ".", "", "events.x", "stamps.0"],
)
def test_a_dotted_name_that_there_is_not_is_the_callers_fault(name: str) -> None:
    """Never anything else."""
    with pytest.raises(InvalidField):
        parse(nest([(name, "1")], MadeUp), strict=False)


@given(st.lists(st.tuples(
    st.lists(st.sampled_from(["clip", "width", "labels", "stamps", "events", "0", "1", "",
                              "name", "margin", "top", "x"]), min_size=1, max_size=5).map(".".join),
    st.sampled_from(["1", "a", ""])), max_size=6))  # fmt: skip
def test_nothing_but_an_invalid_field_comes_of_dotted_names(query: list[tuple[str, str]]) -> None:
    """However they are put together."""
    try:
        made = parse(nest(query, MadeUp), strict=False)
    except InvalidField as error:
        found = [str(fault) for fault in error.faults]
    else:
        found = [str(made)]
    assert found


def test_a_flag_with_a_value_of_the_wrong_form_is_refused() -> None:
    """A map needs NAME=VALUE, an item that is an object JSON."""
    command = argparse.ArgumentParser()
    add_flags(command, MadeUp)
    for words in (["--labels", "x"], ["--stamps", "{"]):
        with pytest.raises(OperatorError, match=words[0]):
            given_options(command.parse_args(words), MadeUp)


def test_a_field_without_a_declaration_is_refused() -> None:
    """When the class is made, so that no option can lack its description."""
    with pytest.raises(TypeError, match=r"Option\("):
        type("Bad", (OptionGroup,), {"__annotations__": {"x": int}, "x": 1})
    for without in (Option("X.", formats=("pdf",)), Option("X.", value_formats={"a": ("pdf",)})):
        with pytest.raises(TypeError, match="no format stands beside it"):
            type(
                "Bad", (OptionGroup,), {"__annotations__": {"x": Annotated[str, without]}, "x": ""}
            )
    annotation = Annotated[int, Option("X.", needs=("y",))]
    with pytest.raises(TypeError, match="unknown options"):
        type("Bad", (OptionGroup,), {"__annotations__": {"x": annotation}, "x": 1})


def test_the_declaration_needs_neither_chrome_nor_an_encoder() -> None:
    """What checks a request, as the command line and a queue, need not load them."""
    code = (
        "import sys, poster_service.render.request\n"
        "heavy = {'pyppeteer', 'PIL', 'zlib_ng', 'aiohttp', 'jinja2'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    reported = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert reported.stdout.strip() == "[]"


def test_query_options_have_what_a_form_needs(tmp_path: Path) -> None:
    """Type, bounds, default and description of a value; of the service's own settings too."""
    given_: dict[str, Any] = {"timeout_ms": 500, "max_timeout_ms": 700}
    service = Service.build(Settings(work_dir=tmp_path, **given_))
    found = query_options(service, MadeUpRequest)
    assert found["timeout_ms"]["maximum"] == found["delay_ms"]["maximum"] == 700
    assert found["clip.width"]["exclusiveMinimum"] == 0
    assert (found["margin"]["type"], found["margin"]["default"]) == ("string", "0px")
    assert found["events.0"]["enum"] == ["load", "networkidle0"]
    assert all(one["description"] for one in found.values())
