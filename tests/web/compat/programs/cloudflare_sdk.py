"""What a user of Cloudflare's SDK for Python has: only the address is another.

Usage: cloudflare_sdk.py ADDRESS TOKEN FOLDER URL. Writes what came into the folder.
"""

import json
import sys
from pathlib import Path

from cloudflare import (  # type: ignore[import-not-found]  # only in its own environment
    APIStatusError,
    AuthenticationError,
    Cloudflare,
)

address, token, folder, url = sys.argv[1:]
made, account = Path(folder), "0123456789abcdef0123456789abcdef"
client = Cloudflare(api_token=token, base_url=f"{address}/client/v4", max_retries=0)
run = client.browser_rendering

picture = run.screenshot.with_raw_response.create(
    account_id=account,
    url=url,
    cache_ttl=60,
    viewport={"width": 300, "height": 200},
    screenshot_options={"type": "jpeg", "quality": 50},
)
(made / "picture.jpg").write_bytes(picture.read())

pdf = run.pdf.create(account_id=account, html="<h1>PDF</h1>", pdf_options={"format": "a4"})
(made / "page.pdf").write_bytes(pdf.read())

snapshot = run.snapshot.create(account_id=account, html="<p>snap")
scraped = run.scrape.create(account_id=account, url=url, elements=[{"selector": "h1"}])
found = {
    "content": run.content.create(account_id=account, url=url),
    "snapshot": snapshot.content,
    "screenshot": snapshot.screenshot,
    "scraped": [one.model_dump() for one in scraped],
    "links": run.links.create(account_id=account, url=url),
    "markdown": run.markdown.create(account_id=account, url=url),
}
try:
    run.json.create(account_id=account, url=url, prompt="x")
except APIStatusError as error:
    found["json"] = error.status_code
try:
    other = Cloudflare(api_token="wrong", base_url=f"{address}/client/v4", max_retries=0)
    other.browser_rendering.content.create(account_id=account, html="x")
except AuthenticationError as error:
    found["errors"] = [one.model_dump() for one in error.errors]
(made / "found.json").write_text(json.dumps(found))
