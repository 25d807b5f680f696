"""What only a page's own origin gets, decided for each request by itself."""

from typing import Any

import pytest

from poster_service.browser.types import Request
from poster_service.fetch.own import OwnOrigin, Scopes, Secrets, Sending
from poster_service.origins import origin_of

SECRET = ("X-Tenant", "7")
HERE = "https://own.test:443"


def own(*, has_cookies: bool = True) -> OwnOrigin:
    """The origin of a page whose document has been asked for."""
    found = OwnOrigin("https://own.test/page", Secrets((SECRET,), has_cookies))
    found.arrive("https://own.test/page")
    return found


def asked(url: str, referer: str = "https://own.test/page", **more: Any) -> Request:
    """A request of the page's main frame, with the cookies that Chrome has for it."""
    headers = {"Cookie": "a=1", **({"Referer": referer} if referer else {})}
    return Request(url, "GET", headers, None, "Image", **{"in_main_frame": True, **more})


def sent(found: OwnOrigin, request: Request) -> set[str]:
    """Names of what is sent to the page's own origin only."""
    names = {name for name, _ in found.terms(request).headers} & {"X-Tenant", "Cookie"}
    assert found.terms(request).is_private == bool(names)
    return names


ALL = {"X-Tenant", "Cookie"}


@pytest.mark.parametrize(
    "url",
    ["https://own.test/x", "https://own.test:443/", "https://OWN.test/x?y", "https://own.test"],
)
def test_its_own_origin_gets_all_of_it(url: str) -> None:
    """However the address spells it."""
    assert sent(own(), asked(url)) == ALL


@pytest.mark.parametrize(
    "url",
    ["http://own.test/x", "https://own.test:8443/x", "https://www.own.test/x", "https://own.test.evil.test/",
     "https://evil.test/own.test", "https://own.test@evil.test/", "https://evil.test/?https://own.test/",
     "https://own.test./", "wss://own.test/", "https:///x", "https://own.test:99999/", ""],
)  # fmt: skip
def test_no_other_origin_gets_any(url: str) -> None:
    """Another scheme, port, host, or no address at all."""
    assert sent(own(), asked(url)) == set()


def test_a_redirect_through_another_origin_gets_none() -> None:
    """Also where it leads back; one within the origin does."""
    url = "https://own.test/x"
    assert sent(own(), asked(url, origins=frozenset((HERE,)))) == ALL
    for origins in ({HERE, "https://evil.test:443"}, {"https://evil.test:443"}, {""}):
        assert sent(own(), asked(url, origins=frozenset(origins))) == set()


def test_a_frame_of_another_origin_gets_none() -> None:
    """Chrome names it in Referer or Origin, or names nothing; a frame of the page's own does."""
    url = "https://own.test/x"
    assert sent(own(), asked(url, in_main_frame=False)) == ALL
    for referer in ("", "https://evil.test/", "http://own.test/"):
        assert sent(own(), asked(url, referer, in_main_frame=False)) == set()
    assert sent(own(), asked(url, "")) == ALL


@pytest.mark.parametrize("has_cookies", [True, False])
def test_a_page_that_was_redirected_elsewhere_gets_none_for_ever(has_cookies: bool) -> None:
    """Not at the other origin, and not back at the first; the sites' own cookies stay theirs."""
    found = own(has_cookies=has_cookies)
    cookies = set() if has_cookies else {"Cookie"}
    document = {"is_main": True}
    found.arrive("https://evil.test/")
    assert sent(found, asked("https://evil.test/", "", **document)) == cookies
    assert sent(found, asked("https://evil.test/x", "https://evil.test/")) == cookies
    assert sent(found, asked("https://own.test/x", "https://evil.test/")) == set()
    found.arrive("https://own.test/back")
    back = asked("https://own.test/back", "", **document, origins=frozenset((HERE,)))
    assert sent(found, back) == cookies
    assert sent(found, asked("https://own.test/x")) == cookies


def test_authorization_of_the_page_itself_is_not_replaced() -> None:
    """Its scripts may have another name than the caller."""
    found = OwnOrigin("https://own.test/", Secrets((("Authorization", "Basic x"),)))
    request = asked("https://own.test/api")
    assert ("Authorization", "Basic x") in found.terms(request).headers
    plain = Request(request.url, "GET", {"authorization": "Bearer y"}, None, "Fetch",
                    in_main_frame=True)  # fmt: skip
    assert "Authorization" not in dict(found.terms(plain).headers)


def test_plain_http_is_for_a_page_that_came_by_it() -> None:
    """And for the document itself, after any redirect."""
    found = own()
    assert not found.terms(asked("http://own.test/x")).allows_plain
    assert found.terms(asked("http://own.test/", is_main=True)).allows_plain
    found.arrive("http://own.test/")
    assert found.terms(asked("http://other.test/x")).allows_plain


def test_a_secret_is_in_no_text() -> None:
    """An error or a log line that shows the object shows nothing of it."""
    assert "7" not in repr(Secrets((SECRET,)))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.test/x", "https://a.test:443"),
        ("http://A.test:80", "http://a.test:80"),
        ("http://[::1]:8080/", "http://::1:8080"),
        ("https://u:p@a.test/", "https://a.test:443"),
        ("ftp://a.test/", ""),
        ("data:text/html,x", ""),
        ("https://[::1/", ""),
        ("https://a.test:port/", ""),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    """Or nothing."""
    assert origin_of(url) == origin


async def test_an_address_that_a_scope_names_gets_its_headers_and_no_other_does() -> None:
    """Of any origin; the later scope wins, and both win over what the own origin gets."""
    scopes = Scopes((
        ("^https://api[.]test/", (("X-Tenant", "8"), ("X-A", "1"))),
        ("/deep", (("x-a", "2"),)),
        ("^https://own[.]test/special", (("x-tenant", "9"),)),
    ))  # fmt: skip
    sending = Sending(own(), scopes)
    terms = await sending.terms(asked("https://api.test/deep"))
    assert {("X-Tenant", "8"), ("x-a", "2")} <= set(terms.headers)
    assert terms.is_private
    other = await sending.terms(asked("https://other.test/?https://api.test/"))
    assert (other.is_private, "X-Tenant" in dict(other.headers)) == (False, False)
    special = dict((await sending.terms(asked("https://own.test/special"))).headers)
    assert ("X-Tenant" in special, special["x-tenant"]) == (False, "9")
    assert await sending.terms(asked("https://own.test/")) == own().terms(
        asked("https://own.test/")
    )


async def test_a_page_of_the_callers_own_has_scopes_too() -> None:
    """And without any, nothing is special."""
    scopes = Scopes((("a.test", (("X-A", "1"),)),))
    assert (await Sending(None, scopes).terms(asked("https://a.test/"))).headers == (("X-A", "1"),)
    assert not (await Sending().terms(asked("https://a.test/"))).headers
