"""The parameters of browserless' URLs: token, timeout, launch, blockAds and trackingId."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from poster_service.errors import Fault, InvalidField
from poster_service.web.compat.puppeteer.bodies import Body, Viewport, read
from poster_service.web.compat.puppeteer.parameters import Launch, Parameters

#: Parameters that every route of browserless takes; any other is refused.
PARAMETERS = ("token", "timeout", "launch", "blockAds", "trackingId")
#: Of a session, as browserless has it.
TRACKING_ID = r"^[0-9A-Za-z_-]{1,32}$"
MAX_LAUNCH = 16_384
#: Switches that would have Chrome fetch from elsewhere: the service fetches, by its own policy.
REFUSED_SWITCHES = (
    "--proxy-server", "--proxy-pac-url", "--proxy-bypass-list", "--host-rules",
    "--host-resolver-rules", "--remote-debugging-port", "--remote-debugging-address",
    "--load-extension", "--user-data-dir",
)  # fmt: skip
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?\Z", re.ASCII)


class LaunchOptions(Body):
    """puppeteer's options of a launch; what Chrome is started with is not the caller's."""

    accept_insecure_certs: bool | None = None
    args: list[str] | None = None
    default_viewport: Viewport | None = None
    devtools: bool | None = None
    dumpio: bool | None = None
    headless: bool | str | None = None
    ignore_default_args: bool | list[str] | None = None
    ignore_https_errors: Annotated[bool | None, Field(alias="ignoreHTTPSErrors")] = None
    slow_mo: float | None = None
    stealth: bool | None = None
    timeout: float | None = None
    wait_for_initial_page: bool | None = None


def read_parameters(request: web.Request) -> Parameters:
    """The parameters of a request, checked.

    Raises:
        InvalidField: One is unknown or wrong, or asks for what there is not.
    """
    given = request.query
    if unknown := [name for name in given if name not in PARAMETERS]:
        raise InvalidField.of(*(Fault(f"?{name}", "is not allowed") for name in unknown))
    if wrong := next((name for name in given if len(given.getall(name)) > 1), None):
        raise InvalidField.of(Fault(f"?{wrong}", "is given more than once", "once"))
    if given.get("blockAds", "false") != "false":
        raise InvalidField.of(
            Fault(
                "?blockAds",
                "is not supported: this service has no list of advertisers",
                "false, and rejectRequestPattern in the body",
            )
        )
    tracking_id = given.get("trackingId", "")
    if tracking_id and (not re.match(TRACKING_ID, tracking_id) or tracking_id == "all"):
        raise InvalidField.of(
            Fault("?trackingId", "is not allowed", "up to 32 letters, digits, _ and -")
        )
    return Parameters(_timeout(given), _launch(given.get("launch", "")), tracking_id)


def _timeout(given: Mapping[str, str]) -> int | None:
    text = given.get("timeout", "")
    if not text:
        return None
    if not _NUMBER.match(text):
        raise InvalidField.of(Fault("?timeout", "must be a number", "milliseconds"))
    return int(float(text))


def _launch(text: str) -> Launch:
    if not text:
        return Launch()
    options = read_launch(text)
    switches = dict(one.partition("=")[::2] for one in options.args or ())
    if wrong := [name for name in switches if name in REFUSED_SWITCHES]:
        raise InvalidField.of(*(Fault(f"?launch.args {name}", "is not allowed") for name in wrong))
    return Launch(
        options.default_viewport, switches.get("--lang"), switches.get("--user-agent") or None
    )


def read_launch(text: str) -> LaunchOptions:
    """The launch options in a parameter: JSON, or JSON in base64.

    Raises:
        InvalidField: It is neither, or has a property that puppeteer has not.
    """
    wrong = InvalidField.of(Fault("?launch", "is neither JSON nor base64 of JSON", "an object"))
    if len(text) > MAX_LAUNCH:
        raise InvalidField.of(Fault("?launch", "is too long", f"{MAX_LAUNCH} characters"))
    try:
        # A query may have base64 of either alphabet, a plus that became a space, and no padding.
        plain = text.replace(" ", "+").translate(str.maketrans("-_", "+/"))
        is_json = text.lstrip().startswith("{")
        raw = text.encode() if is_json else base64.b64decode(plain + "=" * (-len(plain) % 4))
        given: Any = json.loads(raw)
    except (binascii.Error, ValueError, RecursionError):
        raise wrong from None
    try:
        return read(LaunchOptions, given)
    except InvalidField as error:
        raise InvalidField.of(
            *(Fault(f"?launch.{one.field}".rstrip("."), one.message) for one in error.faults)
        ) from None
