"""The options of a render as JSON Schema, with the bounds of this service."""

import copy
from typing import Any

from poster_service.render.request import RenderRequest
from poster_service.web.service import Service

Json = dict[str, Any]

#: Options that say what is rendered, which a body of another kind than JSON is itself.
SOURCES = ("html", "template", "data")


def job_schema(service: Service) -> Json:
    """The job as JSON, with the bounds that this service sets."""
    schema = copy.deepcopy(RenderRequest.model_json_schema())
    for name, one in schema["properties"].items():
        one.pop("title", None)
        if name == "timeout_ms":
            plain(one)["maximum"] = service.engine.limits.max_timeout_ms
        if name == "template":
            plain(one)["enum"] = [told["name"] for told in service.engine.templates.list()]
    return schema


def plain(schema: Json) -> Json:
    """The part of an option's schema that says what it is when it is given."""
    for one in schema.get("anyOf", ()):
        if one != {"type": "null"}:
            found: Json = one
            return found
    return schema


def options(service: Service) -> dict[str, Json]:
    """The options by name, as they stand in a query or in a field of a form."""
    found: dict[str, Json] = {}
    for name, given in job_schema(service)["properties"].items():
        if name not in SOURCES:
            found[name] = {
                "description": given["description"],
                **plain(given),
                **{key: given[key] for key in ("pattern",) if key in given},
            }
            if given.get("default") is not None:
                found[name]["default"] = given["default"]
    return found
