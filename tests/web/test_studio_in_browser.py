"""The studio as a person uses it, who types, sees the picture change, copies requests and links."""

import asyncio
import contextlib
import io
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser, Error, Locator, Page, expect

from tests.web.browser import PATIENCE, chromium, serious_barriers, visiting
from tests.web.conftest import Service, StartService

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
expect.set_options(timeout=PATIENCE)
RED = "<style>body{margin:0;background:#ff0000}</style>"
GREEN = RED.replace("ff0000", "00ff00")


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests of this file."""
    async with chromium() as found:
        yield found


def status(page: Page) -> Locator:
    """The line that says what has happened."""
    return page.locator("#status-line")


async def rendered(page: Page) -> None:
    """Wait until a picture is there and nothing more is under way."""
    await expect(status(page)).to_contain_text("Rendered")
    await expect(page.locator("#result")).to_have_attribute("aria-busy", "false")


async def colour(page: Page) -> tuple[int, ...]:
    """The colour in the middle of the picture, as a person sees it."""
    # Playwright would hide the caret by a style sheet in the page, which the policy refuses.
    shot = await page.locator("#stage .frame").screenshot(caret="initial")
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    found = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(found, tuple)
    return found


async def write(page: Page, text: str) -> None:
    """Type into the editor, in place of what is there."""
    await page.locator(".cm-content").click()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text(text)


async def until_colour(page: Page, wanted: tuple[int, ...]) -> None:
    """Wait until the picture has a colour."""
    for _ in range(PATIENCE // 100):
        with contextlib.suppress(Error):  # the picture was replaced meanwhile
            if await page.locator("#stage .frame").count() and await colour(page) == wanted:
                return
        await asyncio.sleep(0.1)
    pytest.fail(f"the picture never became {wanted}")


async def run(folder: Path, *command: str) -> None:
    """Run a command in a folder; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


async def copied(page: Page) -> str:
    """What `Copy` puts onto the clipboard."""
    await page.get_by_role("button", name="Copy", exact=True).click()
    await expect(status(page)).to_have_text("Copied.")
    found = await page.evaluate("navigator.clipboard.readText()")
    assert isinstance(found, str)
    return found


async def test_what_is_typed_is_seen_and_the_copied_requests_run(
    service: Service, browser: Browser, tmp_path: Path
) -> None:
    """Typed, refused, mended, copied as curl, Python and JavaScript: each gives that picture."""
    rights = ["clipboard-read", "clipboard-write"]
    async with visiting(browser, service.address, permissions=rights) as visit:
        page = visit.page
        await rendered(page)
        await write(page, RED)
        await until_colour(page, (255, 0, 0))
        await write(page, GREEN)
        await until_colour(page, (0, 255, 0))
        await page.locator("summary", has_text="Device").click()
        width = page.locator("[data-field=width] input")
        await width.fill("99999")
        problem = page.locator("#problem")
        await expect(problem).to_contain_text("invalid_field")
        await expect(problem).to_contain_text("99999 is out of range")
        await expect(width).to_have_attribute("aria-invalid", "true")
        await expect(page.locator("[data-field=width] > .fault")).to_contain_text("16384")
        await width.fill("320")
        await page.locator("[data-field=height] input").fill("180")
        await expect(page.locator("#facts")).to_contain_text("320 × 180")
        await expect(problem).to_be_hidden()
        await expect(width).not_to_have_attribute("aria-invalid", "true")
        for name, command in (
            ("curl", ["sh", "-c"]), ("Python", [sys.executable, "-c"]),
            ("JavaScript", ["node", "--input-type=module", "--eval"]),
        ):  # fmt: skip
            await page.get_by_role("tab", name=name).click()
            text = await copied(page)
            folder = tmp_path / name
            folder.mkdir()
            await run(folder, *command, text)
            image = Image.open(folder / "out.png").convert("RGB")
            assert (image.size, image.getpixel((5, 5))) == ((320, 180), (0, 255, 0)), name
            assert "cache_ttl" not in text  # of the preview, not of the request


async def test_it_is_for_keyboards_and_screen_readers_in_light_and_dark(
    service: Service, browser: Browser
) -> None:
    """Axe finds nothing serious, with every option in sight, an error, and on a narrow screen."""
    for scheme, width in (("light", 1400), ("dark", 420)):
        async with visiting(
            browser, service.address, color_scheme=scheme,
            viewport={"width": width, "height": 900}, reduced_motion="reduce",
        ) as visit:  # fmt: skip
            page = visit.page
            await rendered(page)
            if scheme == "light":
                await page.locator("summary").evaluate_all(
                    "all => all.forEach((one) => one.click())"
                )
                await page.locator("[data-field=width] input").fill("0")
                await expect(page.locator("#problem")).to_be_visible()
            assert await serious_barriers(page) == []
    async with visiting(browser, service.address) as visit:
        page = visit.page
        await rendered(page)
        await page.get_by_role("tab", name="HTML", exact=True).focus()
        await page.keyboard.press("End")
        await expect(page.get_by_role("tab", name="Markdown")).to_have_attribute(
            "aria-selected", "true"
        )
        await expect(page.get_by_role("tab", name="Markdown")).to_be_focused()
        await expect(page.get_by_role("textbox", name="Markdown of the page")).to_be_visible()
        await rendered(page)


async def test_a_template_is_chosen_by_its_picture_and_filled_in_by_a_form(
    service: Service, browser: Browser
) -> None:
    """Gallery, form, a fault at its field, the same data as JSON."""
    async with visiting(browser, service.address) as visit:
        page = visit.page
        await rendered(page)
        await page.get_by_role("button", name="Gallery").click()
        await expect(page.get_by_alt_text("Sample of Article card")).to_be_visible()
        await expect(page.get_by_alt_text("Sample of Share poster")).to_be_visible()
        assert await serious_barriers(page) == []
        await page.get_by_role("button", name=re.compile("Article card")).click()
        await expect(page.locator("#facts")).to_contain_text("1200 × 630")
        title = page.get_by_label("Title", exact=False).first
        await title.fill("Written in a form")
        await expect(page.locator("#code")).to_contain_text("Written in a form")
        await page.locator(
            '[data-field="data.author.name"] textarea, [data-field="data.author.name"] input'
        ).fill("")
        await expect(page.locator("#problem")).to_contain_text("invalid_data")
        await expect(page.locator('[data-field="data.author.name"] > .fault')).to_be_visible()
        await page.get_by_role("button", name="As JSON").click()
        await write(page, json.dumps({"title": "As JSON", "author": {"name": "Ada"}}))
        await expect(page.locator("#code")).to_contain_text("As JSON")
        await expect(page.locator("#problem")).to_be_hidden()
        await page.get_by_role("button", name="As a form").click()
        await expect(title).to_have_value("As JSON")


async def test_a_link_brings_the_request_and_renders_nothing_by_itself(
    service: Service, browser: Browser
) -> None:
    """All but secrets is in its fragment, which no server sees; a template's sample is shown."""
    async with visiting(browser, service.address) as visit:
        page = visit.page
        await rendered(page)
        await write(page, RED)
        await until_colour(page, (255, 0, 0))
        await page.locator("summary", has_text="Device").click()
        await page.locator("[data-field=width] input").fill("200")
        await expect(page.locator("#facts")).to_contain_text("200 × 630")
        await page.get_by_role("tab", name="URL", exact=True).click()
        await page.get_by_role("tab", name="HTML", exact=True).click()
        await page.get_by_role("button", name="Link").click()
        await expect(status(page)).to_contain_text("The link is copied")
        link = page.url
        await rendered_again(page)
    assert "#r=" in link
    begin = service.server.counters.summary()["outcomes"]
    async with visiting(browser, service.address, link.removeprefix(service.address)) as visit:
        page = visit.page
        await expect(page.locator("#held")).to_be_visible()
        await expect(page.locator("#code")).to_contain_text('"width":200')
        assert service.server.counters.summary()["outcomes"] == begin
        assert not [one for one in visit.requests if one.endswith("/render")]
        await page.get_by_role("button", name="Render it").click()
        await until_colour(page, (255, 0, 0))
        await expect(page.locator("#held")).to_be_hidden()
    async with visiting(browser, service.address, "/#template=article-card") as visit:
        await rendered(visit.page)
        await expect(visit.page.locator("#facts")).to_contain_text("1200 × 630")


async def rendered_again(page: Page) -> None:
    """Wait until what a click has begun has ended, so that the service is at rest."""
    await page.get_by_role("button", name="Render", exact=True).click()
    await rendered(page)


async def test_what_is_empty_says_why(service: Service, browser: Browser) -> None:
    """No address, no template, no option that matches, no picture after an error, and not live."""
    async with visiting(browser, service.address) as visit:
        page = visit.page
        stage, picture = page.locator("#stage"), page.locator("#stage img")
        await rendered(page)
        await expect(picture).to_be_visible()
        await page.get_by_role("tab", name="URL", exact=True).click()
        await expect(stage).to_have_text("Nothing to render yet: enter an address.")
        await expect(page.locator("#facts")).to_be_empty()
        await expect(page.get_by_role("button", name="Save")).to_be_disabled()
        await page.get_by_role("tab", name="Template").click()
        await expect(stage).to_have_text("Nothing to render yet: choose a template.")
        search = page.get_by_label("Find an option")
        await search.fill("no such option")
        await expect(page.locator(".no-option")).to_contain_text("No option matches")
        await search.fill("referrer")
        await expect(page.locator(".no-option")).to_contain_text("referrer is only for url")
        await search.fill("width")
        await expect(page.locator(".no-option")).to_be_empty()
        await page.locator("[data-field=width] input").fill("0")
        await page.get_by_role("tab", name="HTML", exact=True).click()
        await expect(stage).to_have_text("No picture. What is wrong stands below.")
        await expect(page.locator("#problem")).to_contain_text("invalid_field")
        await page.get_by_role("tab", name="URL", exact=True).click()
        await expect(page.locator("#problem")).to_be_hidden()
        await page.locator("[data-field=width] input").fill("300")
        await page.get_by_role("tab", name="HTML", exact=True).click()
        await expect(picture).to_be_visible()
        await rendered(page)
        await page.get_by_label("Live").uncheck()
        await write(page, RED)
        await expect(status(page)).to_have_text(
            "Changed since this picture. Render shows the change."
        )
        await expect(stage).to_have_class(re.compile("stale"))
        await rendered_again(page)
        await expect(stage).not_to_have_class(re.compile("stale"))


async def test_a_warning_says_what_to_do_about_it(service: Service, browser: Browser) -> None:
    """For the kind of source: here HTML; a list of many can be scrolled and read."""
    async with visiting(browser, service.address, reduced_motion="reduce") as visit:
        page = visit.page
        await rendered(page)
        many = "".join(f'<img src="missing-{at}.png">' for at in range(30))
        await write(page, f"{RED}{many}<script>throw new Error('x')</script>")
        warnings = page.locator("#warnings")
        await expect(warnings).to_contain_text("Send it in a form")
        await expect(page.locator("#warnings-title")).to_contain_text("warnings")
        await expect(warnings).to_contain_text("A script of the page failed")
        await expect(warnings).to_contain_text("Further warnings were left out.")
        assert await serious_barriers(page) == []


async def test_a_token_is_asked_for_and_kept_nowhere(
    start_service: StartService, browser: Browser
) -> None:
    """A wrong one is refused; the right one is in no storage, no link and no copied request."""
    token = "web-token-0123456789"
    service = await start_service(tokens=f"web={token}")
    async with visiting(browser, service.address) as visit:
        page = visit.page
        dialog = page.get_by_role("dialog", name="Token")
        await expect(dialog).to_be_visible()
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#problem")).to_contain_text("This service asks for a token")
        await expect(page.locator("#stage")).to_have_text("No picture. What is wrong stands below.")
        await page.get_by_role("button", name="Gallery").click()
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#gallery-note")).to_contain_text("needs a token")
        await page.locator("#gallery").get_by_role("button", name="Close").click()
        await page.get_by_role("button", name="Render", exact=True).click()
        await expect(dialog).to_be_visible()
        await dialog.get_by_label("Token").last.fill("wrong-token-0123456789")
        await page.keyboard.press("Enter")
        await expect(page.locator("#token-wrong")).to_be_visible()
        await page.locator("#token-input").fill(token)
        await page.get_by_role("button", name="Use it").click()
        await rendered(page)
        await expect(page.locator("#code")).to_contain_text("$POSTER_TOKEN")
        kept = await page.evaluate(
            "JSON.stringify([{...localStorage, ...sessionStorage}, document.cookie, location.href])"
        )
        assert token not in kept
        assert token not in await page.content()


async def test_two_renders_are_compared_and_other_formats_shown(
    service: Service, browser: Browser
) -> None:
    """The kept picture beside the new one; a document and text in place of a picture."""
    async with visiting(browser, service.address) as visit:
        page = visit.page
        await rendered(page)
        await write(page, RED)
        await until_colour(page, (255, 0, 0))
        await page.get_by_role("button", name="Compare").click()
        await write(page, GREEN)
        await page.locator("#slider").fill("0")
        await until_colour(page, (0, 255, 0))
        await page.locator("#slider").fill("100")
        await until_colour(page, (255, 0, 0))
        await page.locator("#format").select_option("html")
        await expect(page.locator(".text-answer")).to_contain_text("background:#00ff00")
        await page.locator("#preset").select_option(label="A4")
        await expect(page.get_by_role("link", name="Open the PDF in a tab")).to_be_visible()
        await expect(page.locator("#code")).to_contain_text('"paper":"a4"')
        await rendered(page)
