"""The log line of a render has the errors of the page's scripts, without their messages."""

import json
import logging
from typing import Any

import pytest

from poster_service.browser.witness import MAX_SCRIPT_ERRORS, parse_script_errors
from tests.web.conftest import Service


async def line_of(service: Service, caplog: pytest.LogCaptureFixture, html: str) -> dict[str, Any]:
    """The fields of the log line of one render."""
    caplog.set_level(logging.INFO)
    caplog.clear()
    await service.picture(html=html, width=30, height=20)
    (record,) = [one for one in caplog.records if one.message == "render"]
    fields: dict[str, Any] = record.__dict__["fields"]
    return fields


async def test_errors_of_scripts_are_reported_by_kind_and_place(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Uncaught ones and rejected promises; messages could hold the caller's data."""
    html = (
        "<!doctype html><script>null.secret</script>\n<script>\n"
        "  Promise.reject(new TypeError('secret'));\n throw new RangeError('secret');</script>"
    )
    line = await line_of(service, caplog, html)
    assert sorted(line["script_errors"]) == [
        "RangeError at 4:2", "TypeError at 1:29", "TypeError in a promise",
    ]  # fmt: skip
    assert "secret" not in json.dumps(line)
    assert (line["width"], line["height"], line["html_chars"]) == (30, 20, len(html))
    assert line["bytes"] > 50


async def test_a_page_without_script_errors_has_no_list(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """No empty list in every line."""
    assert "script_errors" not in await line_of(service, caplog, "<p>fine")


async def test_a_flood_is_cut_and_forged_errors_are_ignored(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """A page may fail a thousand times, and may write into the list itself."""
    flood = "<script>for (let n = 0; n < 1000; n++) setTimeout(() => null.x)</script>"
    assert len((await line_of(service, caplog, flood))["script_errors"]) <= MAX_SCRIPT_ERRORS
    forged = (
        "<script>const key = Object.getOwnPropertyNames(window).find(n => n.startsWith('poster_'));"
        "window[key].errors.push('the secret word'); window[key].errors.push({a: 1})</script>"
    )
    assert "script_errors" not in await line_of(service, caplog, forged)


def test_only_reports_of_script_errors_are_read() -> None:
    """Not the other values that a page put there."""
    reported = {
        "errors": ["TypeError at 1:2", "x y", 3, None, "E in a promise\n", "My_Error$2 at 1:2"]
    }
    assert parse_script_errors(reported) == ("TypeError at 1:2", "My_Error$2 at 1:2")
    nonsense: object
    for nonsense in ("TypeError at 1:2", None, {}, {"errors": "x"}, [], {"errors": {"a": 1}}):
        assert parse_script_errors(nonsense) == ()
    assert len(parse_script_errors({"errors": ["E at 1:1"] * 1000})) == MAX_SCRIPT_ERRORS
