"""What GET /openapi.json says of requests: parameters and bodies, from the declared options."""

from dataclasses import dataclass, replace
from typing import Any

from poster_service.jobs.items import ID_ALLOWED
from poster_service.jobs.records import JobRequest
from poster_service.jobs.webhooks import MOST_LISTED
from poster_service.render.json_schema import Json, present
from poster_service.render.request import RenderRequest
from poster_service.render.source import SOURCE_FIELDS, Template
from poster_service.web import forms, openapi_examples, signed, template_data
from poster_service.web.batch_intake import NDJSON_TYPE
from poster_service.web.batches import ITEM_STATES
from poster_service.web.bodies import FORM_TYPE, HTML_TYPE, JSON_TYPE
from poster_service.web.options import options, present_template, request_schema
from poster_service.web.service import Service
from poster_service.web.webhooks import LISTED

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

    def options(self, source: str = "") -> dict[str, Json]:
        """Schemas of the options as a query or a form has them; `source` as of `options`."""
        return options(self.service, self.kind, source)


def query(described: Described, source: str = "") -> list[Json]:
    """The options as parameters of a URL, nested ones by their dotted names.

    `source` is the only kind of source that there is; "" where there are several.
    """
    return [
        {
            "name": name,
            "in": "query",
            "description": schema["description"],
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in described.options(source).items()
    ]


def result_name(_: Described) -> list[Json]:
    """The name of a stored result; it may have slashes."""
    text = "As `object` of the answer to the request that stored it."
    return [{"name": "name", "in": "path", "required": True, "description": text, "schema": TEXT}]


def asset_name(_: Described) -> list[Json]:
    """The name of a file of the service's own pages."""
    return [
        {
            "name": "name",
            "in": "path",
            "required": True,
            "description": "As a page names it.",
            "schema": TEXT,
        }
    ]


def job_id(_: Described) -> list[Json]:
    """The id of a job."""
    text = "As `id` of the answer to the request that it was accepted with."
    return [{"name": "id", "in": "path", "required": True, "description": text, "schema": TEXT}]


def batch_id(_: Described) -> list[Json]:
    """The id of a batch."""
    text = "As `id` of the answer to the request that it was accepted with."
    return [{"name": "id", "in": "path", "required": True, "description": text, "schema": TEXT}]


def item_query(described: Described) -> list[Json]:
    """Of which batch, and which of its items."""
    states = parameter("state", "Only items in this state.", required=False)
    states["schema"] = {"enum": list(ITEM_STATES)}
    return [*batch_id(described), states]


def batch_query(described: Described) -> list[Json]:
    """What all items of NDJSON share, if no line says it, and the key of POST /jobs."""
    sources = [
        parameter(name, "What all items of NDJSON share.", required=False)
        for name in SOURCE_FIELDS
        if name != "data"
    ]
    return [*sources, *job_query(described)]


def batch_body(described: Described) -> Json:
    """A batch in one object, or in a line for each item."""
    settings = described.service.settings
    request = {"$ref": "#/components/schemas/RenderRequest"}
    item = {
        "type": "object",
        "description": "`data`, and options that replace the common ones.",
        "properties": {
            "id": {"type": ["string", "integer"], "description": f"Its name: {ID_ALLOWED}."}
        },
    }
    whole = {
        "type": "object",
        "description": "What all items share, as a request without `data`; `html` may have"
        " {{ placeholders }}.",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "minItems": 1, "items": item},
            "webhook": _of_job(described).request()["properties"]["webhook"],
        },
    }
    lines = {
        "type": "string",
        "description": 'An item a line; the first may be {"common": {...}}, what all share.',
    }
    return {
        "required": True,
        "description": f"Up to {settings.batch_items} items, as NDJSON up to {settings.batch_bytes}"
        f" bytes, as JSON up to {settings.max_body_bytes}. An item is as {request['$ref']} without"
        " what it shares with the others.",
        "content": {JSON_TYPE: {"schema": whole}, NDJSON_TYPE: {"schema": lines}},
    }


def job_query(described: Described) -> list[Json]:
    """Those of POST /jobs: as of POST /render, and the key of a request that may come twice."""
    text = "Up to 255 visible ASCII characters; what comes twice with the same one is one job."
    key = {"name": "Idempotency-Key", "in": "header", "description": text, "schema": TEXT}
    return [*render_query(_of_job(described)), key]


def job_body(described: Described) -> Json:
    """As of POST /render, with the options that only a job has."""
    found = render_body(_of_job(described))
    found["content"][JSON_TYPE]["schema"] = {"$ref": "#/components/schemas/JobRequest"}
    return found


def _of_job(described: Described) -> Described:
    return replace(described, kind=JobRequest)


def dead_query(_: Described) -> list[Json]:
    """How many dead letters are listed."""
    schema = {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": LISTED}
    return [{**parameter("limit", "Most that are listed.", required=False), "schema": schema}]


def dead_id(_: Described) -> list[Json]:
    """The id of a dead letter."""
    text = "As `id` of the list, and `webhook-id` of the message."
    return [{"name": "id", "in": "path", "required": True, "description": text, "schema": TEXT}]


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
    request = described.request()
    name = request["properties"]["template"]["description"]
    template = parameter("template", name, **present_template(request))
    return [
        {**template, "in": "path"},
        data_parameter(described),
        *signature_parameters(required=True),
        *query(described, Template.kind),
    ]


def query_parameters(described: Described) -> list[Json]:
    """Those of GET /render: every kind of source, and the signature if it is signed."""
    properties = described.request()["properties"]

    def source(name: str) -> Json:
        schema = {**present(properties[name])}
        schema.pop("default", None)
        return parameter(name, schema.pop("description"), required=False, **schema)

    return [
        *(source(name) for name in SOURCE_FIELDS if name != "data"),
        data_parameter(described),
        *signature_parameters(required=False),
        parameter("signature", "See the security schemes.", required=False),
        *query(described),
    ]


def data_parameter(described: Described) -> Json:
    """The data of a template, with samples."""
    text = "base64url of the data as JSON; or flat, data.title=...&data.author.name=..."
    data = parameter("data", text, required=False)
    data["examples"] = {
        listed["name"]: {"value": signed.text_of(listed["sample"])}
        for listed in described.service.engine.templates.list()
    }
    return data


def signature_parameters(*, required: bool) -> list[Json]:
    """What a signature is about, beside the scheme `signature` itself."""
    text = "Until when it is good, in Unix seconds."
    return [
        parameter("key", "Name of the key that signed.", required),
        parameter("expires", text, required, pattern="^[0-9]{1,12}$"),
    ]


def parameter(name: str, text: str, required: bool = True, **schema: Any) -> Json:
    """A parameter of a query that is text."""
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": text,
        "schema": {"type": "string", **schema},
    }


def render_body(described: Described) -> Json:
    """The three kinds of body that POST /render reads."""
    examples = openapi_examples.requests(described.service.engine.templates.list())
    most = described.service.settings.max_body_bytes
    return {
        "required": True,
        "description": f"Up to {most} bytes, unpacked if it is gzip.",
        "content": {
            JSON_TYPE: {
                "schema": {"$ref": "#/components/schemas/RenderRequest"},
                "examples": examples,
            },
            HTML_TYPE: {"schema": HTML_PAGE, "example": openapi_examples.PAGE},
            FORM_TYPE: {"schema": form_schema(described), "example": openapi_examples.FORM},
        },
    }


def form_schema(described: Described) -> Json:
    """A form with a page or a template; every other part is a file."""
    return {
        "type": "object",
        "description": "The page, its files by their paths, and options; or a template, its data in"
        " `data` or in fields `data.name`, and the pictures that it names; or a `url`; or a text in"
        f" Markdown and its files; up to {described.service.settings.max_form_parts} parts.",
        "oneOf": [
            {"required": [name]} for name in (forms.PAGE, forms.MARKDOWN_PAGE, *template_data.NAMED)
        ],
        "properties": {
            forms.PAGE: HTML_PAGE,
            "template": present_template(described.request()),
            "url": present(described.request()["properties"]["url"]),
            "markdown": present(described.request()["properties"]["markdown"]),
            forms.MARKDOWN_PAGE: HTML_PAGE,
            "data": {"type": "string", "contentMediaType": JSON_TYPE},
            **described.options(),
        },
        "additionalProperties": {"type": "string", "format": "binary"},
    }
