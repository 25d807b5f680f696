"""The formats of JSON Schema that are checked in data: the same ones in every environment."""

import subprocess
import sys
from typing import Any

import pytest

from poster_service.errors import InvalidData
from poster_service.render.data_formats import FORMATS
from poster_service.render.schema import check_data
from tests.docs.pages import ROOT


def fits(name: str, value: Any) -> bool:
    """Whether a value is taken for one of that format."""
    try:
        check_data({"properties": {"x": {"format": name}}}, {"x": value})
    except InvalidData:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("date", ["2024-02-29"], ["2023-02-29", "29.02.2024", "2024-2-9"]),
        ("date-time",
         ["2024-02-29T23:59:59Z", "2024-02-29t01:02:03.4567+08:00", "1990-12-31T23:59:60Z"],
         ["2024-02-30T00:00:00Z", "2024-02-29", "2024-02-29T25:00:00Z", "2024-02-29T00:00:00",
          "2024-02-29T00:00:00Z\n"]),
        ("email", ["a@b.example"], ["ab.example"]),
        ("ipv4", ["127.0.0.1"], ["127.1", "256.0.0.1"]),
        ("ipv6", ["::1"], ["::g"]),
        ("regex", ["^a+$"], ["("]),
        ("uri",
         ["https://a.example/b?c=d#e", "mailto:a@b.example", "urn:isbn:1", "http://[::1]:8080/"],
         ["a.example", "/a", "//a.example", "https://", "https://a b", "https://a.example/ü",
          "https://a:x/", "https://a.example/\n", ""]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]),
    ],
)  # fmt: skip
def test_a_format_is_checked(name: str, right: list[str], wrong: list[str]) -> None:
    """In text; a format asks nothing of other types."""
    assert name in FORMATS
    assert [fits(name, one) for one in right] == [True] * len(right)
    assert [fits(name, one) for one in wrong] == [False] * len(wrong)
    assert fits(name, 1)
    assert fits(name, None)


def test_another_format_describes_the_data() -> None:
    """Whether or not a package that knows it happens to be installed."""
    for name in ("color", "hostname", "duration", "idn-email", "uri-reference", "made-up"):
        assert fits(name, "?? ??")


def test_no_optional_package_has_a_part_in_it() -> None:
    """Each is found without any that is not of the standard library or of the service's own."""
    optional = ("rfc3339_validator", "rfc3986_validator", "rfc3987", "webcolors", "fqdn",
                "isoduration", "jsonpointer", "uri_template", "rfc3987_syntax")  # fmt: skip
    script = (
        f"import sys; [sys.modules.__setitem__(name, None) for name in {optional!r}]\n"
        "from poster_service.render.data_formats import FORMATS\nprint(*FORMATS)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert tuple(found.stdout.split()) == FORMATS
