"""browserless' /content and /scrape: the document of a page, and what is in elements of it."""

import json
from collections.abc import Mapping
from typing import Any

from poster_service.errors import Fault, InvalidField
from poster_service.render.cache import Answer
from poster_service.render.request import Limits
from poster_service.web.compat.puppeteer.bodies import Content, Scrape
from poster_service.web.compat.puppeteer.parameters import Parameters
from poster_service.web.compat.puppeteer.translation import (
    NAMES,
    expression_of,
    page_options,
    wait_time,
)

#: Names of browserless by those of the options that they become.
SCRAPE_NAMES: Mapping[str, str] = {
    **NAMES,
    "elements": "elements",
    **{f"elements.{at}": f"elements.{at}.selector" for at in range(20)},
}


def content_options(body: Content, parameters: Parameters, limits: Limits) -> dict[str, Any]:
    """The options of a document.

    Raises:
        InvalidField: A property has a value that has no meaning here.
    """
    return {**page_options(body, parameters, limits), "format": "html"}


def scrape_options(body: Scrape, parameters: Parameters, limits: Limits) -> dict[str, Any]:
    """The options of what is in elements; each must be there, unless the attempt is the best.

    Raises:
        InvalidField: A property has a value that has no meaning here.
    """
    debug = body.debug_opts.model_dump() if body.debug_opts else {}
    if wrong := [name for name, is_on in debug.items() if is_on]:
        raise InvalidField.of(
            *(Fault(f"debugOpts.{name}", "is not supported", "false") for name in wrong)
        )
    found = page_options(body, parameters, limits)
    selectors = [one.selector for one in body.elements]
    found |= {"format": "elements", "elements": selectors}
    if found.get("javascript", True):
        awaited = found.setdefault("wait_for", {})
        function = body.wait_for_function.fn if body.wait_for_function else "true"
        awaited["expression"] = all_there(selectors, function)
        if (limit := wait_time(body, limits)) is not None:
            awaited["timeout_ms"] = limit
    return found


def all_there(selectors: list[str], function: str) -> str:
    """JavaScript that is true when each selector has an element, and a function is truthy too."""
    wanted = json.dumps(selectors)
    return (
        f"(async () => {{ if (!{wanted}.every((one) => document.querySelector(one))) return false;"
        f" const found = await ({expression_of(function)});"
        " return typeof found === 'function' ? await found() : found; })()"
    )


def as_scraped(_: Scrape, answer: Answer) -> tuple[bytes, str]:
    """What is in the elements, in browserless' form."""
    found = json.loads(answer.rendered.body)
    data = [
        {"selector": one["selector"], "results": [_result(each) for each in one["elements"]]}
        for one in found["selectors"]
    ]
    text = json.dumps({"data": data, "debug": None}, ensure_ascii=False)
    return text.encode(), "application/json"


def _result(element: Mapping[str, Any]) -> dict[str, Any]:
    attributes = [{"name": name, "value": value} for name, value in element["attributes"].items()]
    return {
        "attributes": attributes,
        "height": round(element["height"]),
        "html": element["html"],
        "left": element["x"],
        "text": element["text"],
        "top": element["y"],
        "width": round(element["width"]),
    }
