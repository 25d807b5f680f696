"""Header and footer of a PDF: a document of their own, in which nothing runs and nothing is asked.

Their pictures are fetched by the service, as the page's own are; so the policy holds for them, hop
by hop. What else may be in them never leaves Chrome, even where the policy would let it.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.hostile.conftest import Seen, World
from tests.hostile.elements import BY_NAME, ELEMENTS, HOSTS, SCHEMES, Element
from tests.marks import some_in_make_test, some_in_quick

OPEN = {"allow_private": "0.0.0.0/0, ::/0", "fetch_timeout_ms": 500}
#: As many addresses as a header may have.
URLS = [f"https://{host}/x" for host in HOSTS]
MOST = 20


def rendered(world: World, header: str, **how: Any) -> Seen:
    """A PDF with it as header and as footer."""
    margin = {"top": 100, "bottom": 100}
    pdf = {"header": header, "footer": header, "paper": "a5", "margin": margin}
    return world.render("<p>page", format="pdf", pdf=pdf, **how)


def picture(urls: Sequence[str]) -> str:
    """Pictures at all addresses, in every way of which the service fetches one."""
    ways = ('<img src="{}">', "<b style=\"background: url('{}')\">x</b>",
            "<style>i {{ background: url({}) }}</style><i>x</i>")  # fmt: skip
    return "".join(ways[number % len(ways)].format(url) for number, url in enumerate(urls))


@pytest.mark.parametrize("start", some_in_quick(range(0, len(URLS), MOST), 3))
def test_no_picture_of_a_header_is_fetched_from_a_forbidden_address(
    either_world: World, start: int
) -> None:
    """However the address is written; each is a warning, and the PDF is printed."""
    seen = rendered(either_world, picture(URLS[start : start + MOST]))
    seen.assert_nothing_got_through()
    assert seen.status == 200, seen.body
    assert seen.body.startswith(b"%PDF")
    assert "denied" in seen.warnings


@pytest.mark.parametrize(
    "hop",
    some_in_quick(
        ["https://10.0.0.1/", "http://169.254.169.254/", "//[::1]/", "https://inside.test/",
         "file:///etc/passwd"], 3,
    ),
)  # fmt: skip
def test_nor_through_a_redirect(world: World, hop: str) -> None:
    """Each hop is checked."""
    seen = rendered(world, picture([f"https://hostile.test/go?to={hop}"]))
    seen.assert_nothing_got_through()
    assert any("/go?to=" in hit for hit in seen.hits)
    assert "denied" in seen.warnings


def test_no_scheme_but_the_webs_is_fetched(world: World) -> None:
    """Neither a file nor anything else of this machine."""
    for urls in (SCHEMES[:MOST], SCHEMES[MOST:]):
        seen = rendered(world, "".join(f'<img src="{url}">' for url in urls))
        seen.assert_nothing_got_through()
        assert seen.status == 200, seen.body


def asks_nothing(world: World, element: Element) -> None:
    """Where everything is allowed nothing of it gets out, unless it is a picture of ours."""
    header = element.page(["https://10.0.0.1/x"])
    seen = rendered(world, header, hold=0, settings=OPEN)
    if any(way in header for way in ("<img", "<input", "<image", "url(")):
        return  # fetched by the service
    assert seen.canaries == {}, element.name
    is_refused = b"does not load there" in seen.body
    assert seen.status == (400 if is_refused else 200), (element.name, seen.body)


@pytest.mark.parametrize(
    "element", some_in_make_test(ELEMENTS, 8, pytest.mark.slow), ids=lambda one: one.name
)
def test_chrome_asks_for_nothing_of_a_header(shared_world: World, element: Element) -> None:
    """Not even with every door open: no frame, no script, no style sheet, no prefetch."""
    asks_nothing(shared_world, element)


@pytest.mark.parametrize("element", some_in_make_test(ELEMENTS, 32), ids=lambda one: one.name)
def test_nor_does_full_chromium(full_either: World, element: Element) -> None:
    """Every element there is, the most of them in `make endurance`."""
    asks_nothing(full_either, element)


@pytest.mark.slow
def test_the_canary_does_hear_of_a_picture_where_the_policy_allows_it(world: World) -> None:
    """The check can fail: with the door open a header's picture reaches it."""
    seen = rendered(world, BY_NAME["img"].page(["https://10.0.0.1/x"]), settings=OPEN)
    assert "10.0.0.1 443" in seen.canaries
