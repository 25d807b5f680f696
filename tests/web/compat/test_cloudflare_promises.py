"""What OpenAPI says of Browser Run's routes, and Schemathesis over it."""

from pathlib import Path

import pytest

from tests.web.conftest import StartService
from tests.web.promises import document_of, hold

PREFIX = "/client/v4/accounts/{account_id}/browser-rendering"
ROUTES = "screenshot|pdf|content|snapshot|scrape|links|markdown"
RENDERING = {f"{PREFIX}/{kind}" for kind in ROUTES.split("|")}


def test_every_route_is_in_the_document(tmp_path: Path) -> None:
    """With what it takes, and how a token is sent."""
    document = document_of(tmp_path, "cloudflare")
    ours = {path: one for path, one in document["paths"].items() if path.startswith(PREFIX)}
    posts = {path: one["post"] for path, one in ours.items() if "post" in one}
    assert {path for path, one in posts.items() if "requestBody" in one} == RENDERING
    assert all(one["tags"] == ["cloudflare"] for one in posts.values())
    pdf = posts[f"{PREFIX}/pdf"]
    body = pdf["requestBody"]["content"]["application/json"]["schema"]
    assert body["additionalProperties"] is False
    assert "pdfOptions" in body["properties"]
    assert pdf["security"] == [{"bearer": []}]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_routes_keep_what_the_document_promises(
    start_service: StartService, tmp_path: Path
) -> None:
    """Values at random; no fault of ours, and nothing is left."""
    await hold(
        start_service, tmp_path, "--phases", "fuzzing", "--max-examples", "8",
        "--include-path-regex", f"/browser-rendering/({ROUTES})$",
        compat=("cloudflare",),
    )  # fmt: skip
