"""`poster-service sign`: a signed URL of a picture; needs no Chrome."""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

from poster_service.commands.inputs import parse_data, read_text
from poster_service.errors import OperatorError
from poster_service.render import flags
from poster_service.render.options import RenderOptions
from poster_service.settings import Settings


def add_sign_options(
    sign: argparse.ArgumentParser,
    declared: type[RenderOptions] = RenderOptions,
    shown: flags.Shown = "all",
) -> None:
    """The options of `sign`; the key comes from the settings."""
    sign.add_argument("template", nargs="?", metavar="TEMPLATE", help="name of the template")
    sign.add_argument(
        "--html", metavar="FILE", help="sign this page instead of a template; - is stdin"
    )
    sign.add_argument(
        "--url", metavar="URL", help="sign the page at this URL instead of a template"
    )
    sign.add_argument("--data", metavar="FILE", help="JSON data of the template; - is stdin")
    sign.add_argument(
        "--expires",
        default="1h",
        metavar="TIME",
        help="how long the URL is valid: 30s, 10m, 1h, 7d (default 1h)",
    )
    sign.add_argument(
        "--base-url",
        metavar="URL",
        help="public address of the service; by default its own host and port",
    )
    sign.add_argument("--key", metavar="NAME", help="the key to sign with; by default the first")
    sign.add_argument(
        "--max-length",
        metavar="CHARACTERS",
        help="refuse longer URLs (default 8000); at most POSTER_MAX_HEADER_BYTES",
    )
    flags.add_flags(sign, declared, shown)


def run_sign(settings: Settings, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Print a signed URL; needs no Chrome and no running service."""
    from poster_service.engine import limits_of
    from poster_service.render.request import RenderRequest
    from poster_service.web import signed
    from poster_service.web.address_length import LONGEST, check_length
    from poster_service.web.service import keys_of

    keys = {one.name: one for one in reversed(keys_of(settings).entries)}
    name = options.key or next(reversed(keys), "")
    if name not in keys:
        known = ", ".join(sorted(keys)) or "none: set POSTER_SIGNING_KEYS=name=key"
        raise OperatorError(f"--key {name or '(none)'}: there is no such key (there are: {known})")
    wanted = {**source_of(options), **flags.given_options(options, RenderOptions)}
    RenderRequest.parse(
        wanted, limits_of(settings), strict=False
    )  # reports faults now and not on use
    seconds = duration(options.expires)
    if seconds > settings.signed_url_max_seconds:
        raise OperatorError(
            f"--expires {options.expires}: the service takes {settings.signed_url_max_seconds} s at"
            " most; see POSTER_SIGNED_URL_MAX_SECONDS"
        )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    base = options.base_url or f"http://{host}:{settings.port}"
    expires = int(time.time()) + seconds
    made = signed.address(keys[name], base, wanted, expires)
    most = (
        LONGEST if options.max_length is None else whole_number("--max-length", options.max_length)
    )
    if warning := check_length(made, wanted.get("data"), most, settings.max_header_bytes):
        print(f"poster-service: warning: {warning}", file=sys.stderr)  # noqa: T201 - its own words
    print(made)  # noqa: T201 - the command's result
    return 0


def source_of(options: argparse.Namespace) -> dict[str, Any]:
    """The source that is given, as JSON has it; the request is checked as a whole.

    Raises:
        OperatorError: A file cannot be read, or is not JSON.
    """
    source = {"template": options.template, "url": options.url}
    if options.html is not None:
        source["html"] = read_text(options.html)
    if options.data is not None:
        source["data"] = parse_data(read_text(options.data))
    return {name: value for name, value in source.items() if value is not None}


def whole_number(flag: str, text: str) -> int:
    """A number above 0.

    Raises:
        OperatorError: It is not such a number; names the flag.
    """
    if re.fullmatch(r"[1-9][0-9]{0,8}", text) is None:
        raise OperatorError(f"{flag} {text[:100]}: must be a whole number from 1 to 999999999")
    return int(text)


def duration(text: str) -> int:
    """Seconds from 90, 30s, 10m, 1h or 7d.

    Raises:
        OperatorError: The text has another form.
    """
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if found is None or not int(found[1]):
        raise OperatorError(f"--expires {text}: must be a time like 30s, 10m, 1h or 7d")
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]
