"""The options of a render as JSON Schema, with the bounds and the templates of this service."""

from typing import Any

from poster_service.render.json_schema import Json, branches, present
from poster_service.render.option_list import entries
from poster_service.render.request import RenderRequest
from poster_service.web.service import Service


def request_schema(service: Service, kind: type[RenderRequest] = RenderRequest) -> Json:
    """A request as JSON: source and options side by side, nested options as objects."""
    schema = kind.json_schema(service.engine.limits)
    present_template(schema)["enum"] = [
        listed["name"] for listed in service.engine.templates.list()
    ]
    return schema


def present_template(schema: Json) -> Json:
    """The schema of a template's name that is given, in the schema of a request."""
    found: Json = schema["properties"]["template"]["anyOf"][0]
    return found


def options(
    service: Service, kind: type[RenderRequest] = RenderRequest, source: str = ""
) -> dict[str, Json]:
    """The options by name as they stand in a query or in a field of a form: nested ones dotted.

    With `source` only those that have a meaning for this kind of source.
    """
    found: dict[str, Json] = {}
    for entry in entries(kind.declared):
        if not entry.is_value or not entry.fits(source):
            continue
        schema: dict[str, Any] = {**entry.schema, "description": entry.option.text()}
        if "anyOf" in schema:  # a value as text, or an object in parts
            plain = [one for one in branches(schema) if one["type"] not in ("object", "array")]
            schema = present({**schema, "anyOf": plain})
        if entry.option.limit:
            schema["maximum"] = getattr(service.engine.limits, entry.option.limit)
        schema.pop("default", None)
        if isinstance(entry.default, str | int | float):
            schema["default"] = entry.default
        found[entry.name] = schema
    return found
