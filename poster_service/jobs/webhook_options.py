"""`webhook`: an address of the caller's own to which a job or a batch reports its end."""

from typing import Annotated

from pydantic import AfterValidator, Field

from poster_service.jobs.webhook_message import EVENT_TYPES, EventType
from poster_service.render.declaration import Items, Option, OptionGroup
from poster_service.render.network_options import Headers
from poster_service.render.storage_options import sendable

#: Headers that are the message's own.
RESERVED_PREFIX = "webhook-"


def check_webhook_headers(given: dict[str, str]) -> dict[str, str]:
    """Headers that do not stand in for those of the signature.

    Raises:
        ValueError: One does; the text names it, without its value.
    """
    for name in given:
        if name.lower().startswith(RESERVED_PREFIX):
            raise ValueError(f"{name} cannot be set")
    return given


WebhookHeaders = Annotated[Headers, AfterValidator(check_webhook_headers)]


class Webhook(OptionGroup):
    """Where the end of a job or batch is reported."""

    url: Annotated[
        str,
        Field(min_length=1, max_length=8_000),
        AfterValidator(sendable),
        Option(
            "Address that takes the message by POST. The network policy holds for it: https, and"
            " plain http to networks of POSTER_ALLOW_PRIVATE only.",
            allowed="an https address",
            is_content=True,
        ),
    ]
    events: Annotated[
        Items[EventType],
        Field(min_length=1, max_length=len(EVENT_TYPES)),
        Option("What is reported.", default="all that there is of the job or batch"),
    ] = EVENT_TYPES
    headers: Annotated[
        WebhookHeaders,
        Option(
            "Headers sent with it, such as Authorization.",
            allowed="names and values, without those of the connection and webhook-...",
            is_content=True,
        ),
    ] = Field(default_factory=dict)
