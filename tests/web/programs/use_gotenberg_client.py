"""Uses Python's `gotenberg-client` as its documentation does; prints one JSON object.

Run with the address of the service, a user and a password, by a Python that has the client.
"""

import base64
import json
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import gotenberg_client as client  # type: ignore[import-not-found]
from gotenberg_client import constants, options

PAGE = "<body style='margin: 0; background: red'><h1>Client</h1><img src=dot.svg>"
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"


def text(content: bytes) -> str:
    """Bytes as JSON has them."""
    return base64.b64encode(content).decode()


def pdf(gotenberg: Any) -> dict[str, Any]:
    """A PDF with many of its fields."""
    with gotenberg.chromium.html_to_pdf() as route:
        answer = (
            route.string_index(PAGE)
            .string_resource(SVG, "dot.svg", "image/svg+xml")
            .size(constants.A4)
            .margins(options.PageMarginsType(top=options.Measurement(2)))
            .orient(options.PageOrientation.Landscape)
            .background_graphics()
            .generate_document_outline(generate_document_outline=True)
            .render_wait(timedelta(milliseconds=20))
            .render_expression("document.readyState === 'complete'")
            .media_type("screen")
            .emulated_media_features([{"name": "prefers-color-scheme", "value": "dark"}])
            .string_header("<p style='font-size: 9px'>Head</p>")
            .fail_on_exceptions()
            .output_filename("from-client")
            .trace_id("client-trace")
            .run()
        )
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return {"pdf": text(answer.content), "headers": headers}


def main() -> None:
    """Ask for one of everything."""
    address, user, password = sys.argv[1:]
    found: dict[str, Any] = {}
    with client.GotenbergClient(address, auth=(user, password)) as gotenberg:
        health = gotenberg.health.health()
        found["health"] = [health.overall, health.chromium.status]
        found["version"] = gotenberg.version.get()
        found |= pdf(gotenberg)
        with gotenberg.chromium.screenshot_html() as shot:
            answer = shot.string_index(PAGE).width(300).height(200).clip_to_dimensions()
            found["png"] = text(answer.output_format("png").run().content)
        with gotenberg.chromium.markdown_to_pdf() as route, tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "a.md")
            file.write_text("**Bold**")
            answer = route.string_index('{{ toHTML "a.md" }}').markdown_file(file).run()
            found["markdown"] = text(answer.content)
        try:
            with gotenberg.chromium.html_to_pdf() as route:
                route.string_index("<script>null.x</script>").fail_on_exceptions().run()
        except client.HttpStatusError as error:
            found["error"] = error.response.status_code
    sys.stdout.write(json.dumps(found))


main()
