"""Has Python's `gotenberg-client` ask for files by webhook; prints one JSON object.

Run with the address of the service, a user, a password and the address of the receiver, by a
Python that has the client.
"""

import json
import sys

import gotenberg_client as client  # type: ignore[import-not-found]

PAGE = "<p>By webhook"


def main() -> None:
    """One file, and one that cannot be made."""
    address, user, password, receiver = sys.argv[1:]
    found = []
    with client.GotenbergClient(address, auth=(user, password)) as gotenberg:
        gotenberg.add_webhook_url(f"{receiver}/file")
        gotenberg.add_error_webhook_url(f"{receiver}/error")
        gotenberg.add_headers({"Gotenberg-Webhook-Events-Url": f"{receiver}/events"})
        gotenberg.set_webhook_http_method("PUT")
        gotenberg.set_error_webhook_http_method("PATCH")
        gotenberg.set_webhook_extra_headers({"X-Own": "of the client"})
        for trace, wait in (("good", "1 < 2"), ("bad", "no.such.thing()")):
            with gotenberg.chromium.html_to_pdf() as route:
                asked = route.string_index(PAGE).render_expression(wait)
                answer = asked.output_filename("from-client").trace_id(trace).run()
            found.append([answer.status_code, len(answer.content)])
    sys.stdout.write(json.dumps({"answers": found}))


main()
