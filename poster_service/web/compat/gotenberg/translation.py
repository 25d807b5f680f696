"""From the values of Gotenberg's fields to the options of `POST /render`."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from poster_service.errors import Fault, InvalidField
from poster_service.quoting import quoted
from poster_service.render.json_schema import Json
from poster_service.web.compat.gotenberg.engines import NotHere

#: What Gotenberg calls an option of ours, by its name here: faults have these names.
NAMES: Mapping[str, str] = {
    "html": "index.html", "markdown": "index.html", "url": "url",
    "width": "width", "height": "height", "device_scale_factor": "deviceScaleFactor",
    "quality": "quality", "selector": "selector", "background": "omitBackground",
    "wait_for.selector": "waitForSelector", "wait_for.expression": "waitForExpression",
    "scripts": "waitWindowStatus", "delay_ms": "waitDelay", "cookies": "cookies",
    "headers": "extraHttpHeaders", "scoped_headers": "extraHttpHeaders",
    "user_agent": "userAgent", "media": "emulatedMediaType",
    "media_features": "emulatedMediaFeatures",
    "fail_on_status.page": "failOnHttpStatusCodes",
    "fail_on_status.resources": "failOnResourceHttpStatusCodes",
    "fail_on_status.except_hosts": "ignoreResourceHttpStatusDomains",
    "pdf.paper.width": "paperWidth", "pdf.paper.height": "paperHeight",
    "pdf.margin.top": "marginTop", "pdf.margin.right": "marginRight",
    "pdf.margin.bottom": "marginBottom", "pdf.margin.left": "marginLeft",
    "pdf.margin": "marginTop", "pdf.scale": "scale", "pdf.pages": "nativePageRanges",
    "pdf.header": "header.html", "pdf.footer": "footer.html", "pdf.metadata": "metadata",
    "filename": "Gotenberg-Output-Filename",
}  # fmt: skip
#: The window of Gotenberg's Chrome, in CSS pixels: what scripts see of a page that is printed.
WINDOW = (800, 600)
#: Gotenberg has colours printed as they are, and hides the page's own background by a style sheet:
#: backgrounds inside of the page are printed in any case.
EXACT_COLOURS = "html { -webkit-print-color-adjust: exact !important }"
NO_BACKGROUND = "html, body { background: none !important }"
#: The names of a PDF's metadata, as ExifTool has them.
METADATA = {
    "Title": "title", "Author": "author", "Subject": "subject", "Keywords": "keywords",
    "Creator": "creator", "Producer": "producer", "CreationDate": "creation_date",
}  # fmt: skip
#: The part of a header's value that names its scope.
_SCOPE = re.compile(r"\s*scope", re.IGNORECASE)
#: A date as ExifTool writes it, with colons.
_DATE = re.compile(r"([0-9]{4}):([0-9]{2}):([0-9]{2})(?: (.+))?")
_UNTIL_STATUS = """new Promise((done) => {
    const ask = () => window.status === %s ? done() : setTimeout(ask, 50);
    ask();
})"""


def refused(field: str, message: str, allowed: str | None = None) -> InvalidField:
    """The error of one field."""
    return InvalidField.of(Fault(field, message, allowed))


def common(values: Mapping[str, Any], kind: str) -> Json:
    """The options that pictures and PDFs have in common.

    Args:
        values: Of the fields.
        kind: Of the source: html, markdown or url.

    Raises:
        InvalidField: A field has a value that cannot be.
    """
    options: Json = {"wait_until": _wait_until(values), **_failing(values, kind)}
    if values["userAgent"]:
        options["user_agent"] = values["userAgent"]
    if values["emulatedMediaType"]:
        options["media"] = values["emulatedMediaType"]
    if values["emulatedMediaFeatures"]:
        options["media_features"] = values["emulatedMediaFeatures"]
    if values["waitDelay"]:
        options["delay_ms"] = values["waitDelay"]
    if values["waitWindowStatus"]:
        script = _UNTIL_STATUS % json.dumps(values["waitWindowStatus"])
        options["scripts"] = [{"content": script}]
    awaited = {"expression": values["waitForExpression"], "selector": values["waitForSelector"]}
    if given := {name: value for name, value in awaited.items() if value}:
        options["wait_for"] = given
    if values["cookies"]:
        options["cookies"] = [_cookie(one) for one in values["cookies"]]
    return options | _headers(values["extraHttpHeaders"], kind)


def _wait_until(values: Mapping[str, Any]) -> str:
    if not values["skipNetworkIdleEvent"]:
        return "networkidle0"
    return "load" if values["skipNetworkAlmostIdleEvent"] else "networkidle2"


def _failing(values: Mapping[str, Any], kind: str) -> Json:
    """The conditions on which the render fails."""
    found: Json = {}
    conditions = [
        condition
        for condition, name in (
            ("not_fetched", "failOnResourceLoadingFailed"),
            ("script_error", "failOnConsoleExceptions"),
        )
        if values[name]
    ]
    if conditions:
        found["fail_on"] = conditions
    statuses: Json = {}
    if kind == "url":
        found["allow_error_status"] = True
        if values["failOnHttpStatusCodes"]:
            statuses["page"] = list(values["failOnHttpStatusCodes"])
    if values["failOnResourceHttpStatusCodes"]:
        statuses["resources"] = list(values["failOnResourceHttpStatusCodes"])
        hosts = [host for one in values["ignoreResourceHttpStatusDomains"] if (host := _host(one))]
        if hosts:
            statuses["except_hosts"] = hosts
    return found | ({"fail_on_status": statuses} if statuses else {})


def _host(text: str) -> str:
    """The host of what may be an address, a host with a port, or a pattern `*.example.com`."""
    plain = text.strip().lower()
    try:
        host = urlsplit(plain if "//" in plain else f"//{plain}").hostname or plain
    except ValueError:
        host = plain
    return host.removeprefix("*.").removeprefix(".")


def _cookie(given: Mapping[str, Any]) -> Json:
    names = {"httpOnly": "http_only", "sameSite": "same_site"}
    known = ("name", "value", "domain", "path", "secure", "httpOnly", "sameSite")
    found = {names.get(name, name): given[name] for name in known if given.get(name)}
    if isinstance(same := found.get("same_site"), str):
        found["same_site"] = same.lower()
    return found


def _headers(given: Mapping[str, str], kind: str) -> Json:
    """Headers for the origin of the page, and those for the addresses of a scope.

    Raises:
        InvalidField: One has a scope that is none, or none where there is no such origin.
    """
    plain: dict[str, str] = {}
    scoped: list[Json] = []
    for name, text in given.items():
        tokens = text.split(";")
        scopes = [one for one in tokens if _SCOPE.match(one)]
        value = "; ".join(one for one in tokens if one and not _SCOPE.match(one))
        if not scopes:
            plain[name] = value
            continue
        key, _, expression = "".join(scopes[-1].split()).partition("=")
        if key.lower() != "scope" or not expression:
            raise refused("extraHttpHeaders", f"invalid scope '' for header '{name}'")
        scoped.append({"expression": expression, "headers": {name: value.strip()}})
    if plain and kind != "url":
        raise refused(
            "extraHttpHeaders",
            f"header '{next(iter(plain))}' has no scope, and would go to every host that the page"
            " names",
            "a value with ;scope= and a regular expression, as in"
            " secret;scope=^https://images\\.example/",
        )
    found: Json = {"headers": plain} if plain else {}
    return found | ({"scoped_headers": scoped} if scoped else {})


def screenshot(values: Mapping[str, Any]) -> Json:
    """The options of a picture."""
    clear = values["omitBackground"] and values["format"] != "jpeg"
    options: Json = {
        "format": values["format"],
        "width": values["width"],
        "height": values["height"],
        "device_scale_factor": values["deviceScaleFactor"],
        "background": "transparent" if clear else "#ffffff",
    }
    if values["format"] == "jpeg":
        options["quality"] = max(1, values["quality"])
    if values["format"] == "png" and not values["optimizeForSpeed"]:
        options["png_compression"] = "balanced"  # about the bytes of Chrome's own encoder
    if values["selector"]:
        options["selector"] = values["selector"]
    elif not values["clip"]:
        options["full_page"] = True
    return options


def pdf(values: Mapping[str, Any], texts: Mapping[str, str]) -> Json:
    """The options of a PDF; header and footer are texts by the names of their files.

    Raises:
        InvalidField: Two fields do not go together.
    """
    if values["omitBackground"] and not values["printBackground"]:
        raise refused("", "omitBackground requires printBackground set to true")
    style = EXACT_COLOURS + ("" if values["printBackground"] else NO_BACKGROUND)
    options: Json = {
        "format": "pdf", "width": WINDOW[0], "height": WINDOW[1], "styles": [{"content": style}],
    }  # fmt: skip
    if values["omitBackground"]:
        options["background"] = "transparent"
    sheets: Json = {
        "print_background": values["printBackground"],
        "margin": {
            side: values[f"margin{side.title()}"] for side in ("top", "right", "bottom", "left")
        },
        "tagged": values["generateTaggedPdf"] or values["generateDocumentOutline"],
        "outline": values["generateDocumentOutline"],
    }
    for name in ("header", "footer"):
        if template := texts.get(f"{name}.html"):
            sheets[name] = template
    if values["metadata"]:
        sheets["metadata"] = metadata(values["metadata"])
    if values["singlePage"]:
        return options | _one_sheet(values, sheets)
    sheets |= {
        "paper": {"width": values["paperWidth"], "height": values["paperHeight"]},
        "landscape": values["landscape"],
        "scale": values["scale"],
        "prefer_css_page_size": values["preferCssPageSize"],
    }
    if values["nativePageRanges"]:
        sheets["pages"] = values["nativePageRanges"]
    return options | {"pdf": sheets}


def _one_sheet(values: Mapping[str, Any], sheets: Json) -> Json:
    """The options of a PDF of one sheet: as wide as the paper, or as what is wider than that.

    Raises:
        InvalidField: A field has no meaning with it.
    """
    for name in ("header", "footer"):
        if name in sheets:
            raise refused(f"{name}.html", "it has no meaning with singlePage", "no such file")
    if values["scale"] != 1:
        raise refused("scale", "it has no meaning with singlePage", "1")
    across = values["paperHeight" if values["landscape"] else "paperWidth"]
    width = round(across - values["marginLeft"] - values["marginRight"])
    if width < 1:
        raise refused("marginLeft", "the margins leave nothing of the sheet")
    return {"pdf": sheets, "full_page": True, "width": width}


def metadata(given: Mapping[str, Any]) -> Json:
    """The metadata of a PDF.

    Raises:
        NotHere: There is an entry that cannot be written.
        InvalidField: One is no text.
    """
    found: Json = {}
    for name, value in given.items():
        if name not in METADATA:
            message = f"form field 'metadata': '{quoted(name)}' cannot be written here"
            raise NotHere.of(Fault("", message, ", ".join(METADATA)))
        words = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str) for one in words):
            raise refused("metadata", f"'{name}' is not a text")
        if text := ", ".join(words):
            found[METADATA[name]] = iso_date(text) if name == "CreationDate" else text
    return found


def iso_date(text: str) -> str:
    """A date of ExifTool's as ISO 8601 has it; anything else as it is."""
    found = _DATE.fullmatch(text)
    if found is None:
        return text
    time = f"T{found[4]}" if found[4] else ""
    return f"{found[1]}-{found[2]}-{found[3]}{time}"
