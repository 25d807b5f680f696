"""What GET /openapi.json says of requests: parameters and bodies, from the declared options."""

from dataclasses import dataclass
from typing import Any

from poster_service.render.json_schema import Json
from poster_service.render.request import RenderRequest
from poster_service.web import forms, signed
from poster_service.web.bodies import FORM_TYPE, HTML_TYPE, JSON_TYPE
from poster_service.web.options import options, present_template, request_schema
from poster_service.web.service import Service

TEXT: Json = {"type": "string"}
HTML_PAGE: Json = {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class Described:
    """What a document describes.

    Attributes:
        service: That runs: its settings, limits and templates.
        kind: Of request that it takes, with the declaration of its options.
    """

    service: Service
    kind: type[RenderRequest] = RenderRequest

    def request(self) -> Json:
        """Schema of a request in JSON."""
        return request_schema(self.service, self.kind)

    def options(self) -> dict[str, Json]:
        """Schemas of the options as a query or a form has them."""
        return options(self.service, self.kind)


def query(described: Described) -> list[Json]:
    """The options as parameters of a URL; nested ones by their dotted names."""
    return [
        {
            "name": name,
            "in": "query",
            "description": schema["description"],
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in described.options().items()
    ]


def status_query(_: Described) -> list[Json]:
    """In which form the status is answered."""
    text = "`html` for the page; anything else for JSON. Without it, Accept decides."
    return [{"name": "format", "in": "query", "description": text, "schema": TEXT}]


def render_query(described: Described) -> list[Json]:
    """Those of POST /render, which JSON has in its body."""
    found = query(described)
    for parameter in found:
        parameter["description"] += f" With {JSON_TYPE} it belongs into the body."
    return found


def signed_parameters(described: Described) -> list[Json]:
    """Those of a signed URL; `data` may also be flat, which no schema can say."""

    def parameter(name: str, text: str, required: bool = True, **schema: Any) -> Json:
        return {
            "name": name,
            "in": "path" if name == "template" else "query",
            "required": required,
            "description": text,
            "schema": {"type": "string", **schema},
        }

    request = described.request()
    name = request["properties"]["template"]["description"]
    text = "base64url of the data as JSON; or flat, data.title=...&data.author.name=..."
    data = parameter("data", text, required=False)
    data["examples"] = {
        listed["name"]: {"value": signed.text_of(listed["sample"])}
        for listed in described.service.engine.templates.list()
    }
    return [
        parameter("template", name, **present_template(request)),
        data,
        parameter("key", "Name of the key that signed."),
        parameter("expires", "Until when it is good, in Unix seconds.", pattern="^[0-9]{1,12}$"),
        *query(described),
    ]


def render_body(described: Described) -> Json:
    """The three kinds of body that POST /render reads."""
    samples = {
        listed["name"]: {"value": {"template": listed["name"], "data": listed["sample"]}}
        for listed in described.service.engine.templates.list()
    }
    most = described.service.settings.max_body_bytes
    return {
        "required": True,
        "description": f"Up to {most} bytes, unpacked if it is gzip.",
        "content": {
            JSON_TYPE: {
                "schema": {"$ref": "#/components/schemas/RenderRequest"},
                "examples": {"html": {"value": {"html": "<h1>Hello"}}, **samples},
            },
            HTML_TYPE: {"schema": HTML_PAGE, "example": "<h1>Hello"},
            FORM_TYPE: {"schema": form_schema(described)},
        },
    }


def form_schema(described: Described) -> Json:
    """A form with a page or a template; every other part is a file."""
    return {
        "type": "object",
        "description": "The page, its files by their paths, and options; or a template, its data in"
        " `data` or in fields `data.name`, and the pictures that it names; up to"
        f" {described.service.settings.max_form_parts} parts.",
        "oneOf": [{"required": [forms.PAGE]}, {"required": ["template"]}],
        "properties": {
            forms.PAGE: HTML_PAGE,
            "template": present_template(described.request()),
            "data": {"type": "string", "contentMediaType": JSON_TYPE},
            **described.options(),
        },
        "additionalProperties": {"type": "string", "format": "binary"},
    }
