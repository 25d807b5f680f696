"""Every example in GET /openapi.json is a request that works, so that people may begin with it."""

from typing import Any

import aiohttp
import pytest

from poster_service.web.openapi_examples import REQUESTS
from tests.web.conftest import Service, StartService


async def content_of(service: Service) -> dict[str, Any]:
    """The bodies of POST /render in the description of a service."""
    answer = await service.get("/openapi.json")
    document = await answer.json()
    found: dict[str, Any] = document["paths"]["/render"]["post"]["requestBody"]["content"]
    return found


@pytest.mark.slow
async def test_every_example_in_json_is_rendered_without_a_warning(service: Service) -> None:
    """Those of the project, and the sample of each template."""
    examples = (await content_of(service))["application/json"]["examples"]
    assert set(REQUESTS) | {"article-card", "share-poster"} <= set(examples)
    for name, example in examples.items():
        answer = await service.render(**example["value"])
        assert answer.status == 200, (name, await answer.text())
        assert "X-Render-Warnings" not in answer.headers, name
        assert example["summary"]


async def test_the_examples_of_a_page_and_of_a_form_are_rendered(service: Service) -> None:
    """As a body, and with options beside it."""
    content = await content_of(service)
    where = f"{service.address}/render"
    page = content["text/html"]["example"]
    async with service.client.post(
        where, data=page, headers={"Content-Type": "text/html"}
    ) as answer:
        assert (answer.status, answer.content_type) == (200, "image/png")
    form = aiohttp.FormData(quote_fields=False)
    for name, value in content["multipart/form-data"]["example"].items():
        form.add_field(name, str(value), content_type="text/plain")
    async with service.client.post(where, data=form) as answer:
        assert (answer.status, answer.content_type) == (200, "image/png"), await answer.text()


@pytest.mark.slow
async def test_the_examples_of_data_in_a_query_are_rendered(start_service: StartService) -> None:
    """Each with the template of its name."""
    service = await start_service(get_render=True)
    document = await (await service.get("/openapi.json")).json()
    parameters = document["paths"]["/render"]["get"]["parameters"]
    (data,) = [one for one in parameters if one["name"] == "data"]
    assert data["examples"]
    for name, example in data["examples"].items():
        answer = await service.get(f"/render?template={name}&data={example['value']}")
        assert answer.status == 200, (name, await answer.text())


async def test_the_page_is_open_and_the_description_is_not(start_service: StartService) -> None:
    """It can ask for the token itself; what it shows comes with one only."""
    service = await start_service(tokens="web=web-token-0123456789")
    answer = await service.get("/docs")
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert "default-src 'none'; script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert (await service.get("/openapi.json")).status == 401
