"""Headers for browsers: CORS for named origins only, and what keeps pages and pictures safe."""

from pathlib import Path

import aiohttp
import pytest

from poster_service.errors import InvalidSettings
from poster_service.settings import Settings
from poster_service.web import headers
from tests.web.conftest import Service, StartService
from tests.web.signing import KEYS, address

APP = "https://app.example.com"
TOKEN = "web-token-0123456789"


def cors_of(answer: aiohttp.ClientResponse) -> set[str]:
    """What is said about other origins."""
    return {name for name in answer.headers if name.startswith("Access-Control-")}


async def preflight(service: Service, origin: str) -> aiohttp.ClientResponse:
    """What a browser sends before a POST with JSON and a token."""
    asked = {
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }  # fmt: skip
    answer = await service.client.options(f"{service.address}/render", headers=asked)
    await answer.read()
    return answer


async def test_cors_is_off_by_default(service: Service) -> None:
    """No preflight, no header, from any origin."""
    answer = await preflight(service, APP)
    assert (answer.status, cors_of(answer)) == (405, set())
    async with service.client.get(service.address, headers={"Origin": APP}) as answer:
        assert cors_of(answer) == set()
        assert "Vary" not in answer.headers


async def test_pages_of_named_origins_may_call_and_read(start_service: StartService) -> None:
    """The preflight without a token, then the request with one; errors can be read too."""
    service = await start_service(
        cors_origins=f"{APP},http://localhost:3000", tokens=f"web={TOKEN}"
    )
    asked = await preflight(service, APP)
    assert asked.status == 204
    assert asked.headers["Access-Control-Allow-Origin"] == APP
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    for name in ("Authorization", "Content-Type"):
        assert name in asked.headers["Access-Control-Allow-Headers"]
    job = {"html": "<p>x", "width": 10, "height": 10}
    where = f"{service.address}/render"
    for token, status in ((TOKEN, 200), ("wrong", 401)):
        given = {"Origin": APP, "Authorization": f"Bearer {token}"}
        async with service.client.post(where, json=job, headers=given) as answer:
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == APP
            assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]
            assert "Origin" in answer.headers.getall("Vary")
            assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_pages_of_others_may_not(start_service: StartService) -> None:
    """No origin that looks like the allowed one; a cache reads that the answer depends on it."""
    service = await start_service(cors_origins=APP)
    others = ("https://evil.example", "null", "https://app.example.com.evil.example", "",
              APP + ":8443", "http://app.example.com", APP.upper(), APP + "/")  # fmt: skip
    for origin in others:
        answer = await preflight(service, origin)
        assert (answer.status, cors_of(answer)) == (405, set()), origin
        assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origins", ["*", "app.example.com", APP + "/", APP + "/x", "HTTPS://x", "null", f"{APP},*"]
)
def test_only_origins_as_browsers_send_them_can_be_named(origins: str) -> None:
    """Another spelling would never match, and `*` is nobody's wish who has a token."""
    with pytest.raises(InvalidSettings) as caught:
        Settings.load({"POSTER_CORS_ORIGINS": origins}, {})
    assert "POSTER_CORS_ORIGINS" in str(caught.value)
    good = Settings.load({"POSTER_CORS_ORIGINS": f"{APP},http://[::1]:80"}, {})
    assert good.cors_origins == (APP, "http://[::1]:80")


async def test_every_answer_is_what_it_says_it_is(start_service: StartService) -> None:
    """Pictures, problems, pages, text: a browser must not guess."""
    service = await start_service(signing_keys=KEYS)
    small = {"html": "<script>alert(1)</script>", "width": 10, "height": 10}
    answers = [await service.render(**small), await service.render(html="")]
    paths = ("/", "/status", "/metrics", "/healthz", "/nothing", "/templates")
    answers += [await service.get(path) for path in paths]
    answers.append(await service.client.get(address(service, width=300, height=200)))
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff", answer.url
        assert answer.headers["Server"] == "poster-service"


@pytest.mark.parametrize("path", ["/", "/docs", "/status?format=html", "/fonts?format=html"])
async def test_a_page_of_ours_is_in_no_other_pages_frame_and_loads_only_our_files(
    service: Service, path: str
) -> None:
    """Each with the same headers; no script in the page itself, and none from elsewhere."""
    where = f"{service.address}{path}"
    async with service.client.get(where, headers={"Accept": "text/html"}) as answer:
        assert answer.content_type == "text/html"
    policy = answer.headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert rule in policy
    rules = dict(one.strip().partition(" ")[::2] for one in policy.split(";"))
    assert rules.get("script-src", "'self'") == "'self'"
    assert rules.get("connect-src", "'self'") == "'self'"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_no_page_is_made_without_these_headers() -> None:
    """`text/html` is written in one place of the web room."""
    folder = Path(headers.__file__).parent
    makers = [
        file.name for file in folder.glob("*.py") if 'content_type="text/html"' in file.read_text()
    ]
    assert makers == ["headers.py"]
